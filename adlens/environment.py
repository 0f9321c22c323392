"""What the processes that AdLens starts find in their environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from contracts.errors import PrerequisiteError
from contracts.settings import Settings

REPOSITORY = Path(__file__).resolve().parent.parent


def exported(settings: Settings) -> dict[str, str]:
    """The settings that somebody set, as ADLENS_<NAME>; folders absolute, because children work elsewhere."""
    chosen = {f"ADLENS_{name.upper()}": str(getattr(settings, name)) for name in settings.model_fields_set}
    chosen = {name: value for name, value in chosen.items() if value != "None"}
    chosen["ADLENS_HOME"] = str(settings.home_path)
    if settings.landing is not None:
        chosen["ADLENS_LANDING"] = str(settings.landing_path)
    return chosen


def child_environment(settings: Settings) -> dict[str, str]:
    """This process's environment, the settings, Java, and what keeps libraries quiet and on this machine.

    Raises PrerequisiteError when Java was never found.
    """
    scripts = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        **exported(settings),
        "TZ": "UTC",
        "PATH": os.pathsep.join([scripts, os.environ.get("PATH", "")]),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")])),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "FEAST_USAGE": "False",
        "GX_ANALYTICS_ENABLED": "false",
        "GIT_PYTHON_REFRESH": "quiet",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    java = _java_home(settings)
    if java is not None:
        environment["JAVA_HOME"] = str(java)
        environment["PATH"] = os.pathsep.join([str(java / "bin"), environment["PATH"]])
    return environment


def _java_home(settings: Settings) -> Path | None:
    """What set-up wrote to `<home>/java_home`, else JAVA_HOME; None when `java` is on the PATH all the same."""
    import shutil

    note = settings.home_path / "java_home"
    for text in (note.read_text(encoding="utf-8").strip() if note.is_file() else "", os.environ.get("JAVA_HOME", "")):
        if text and (Path(text) / "bin" / "java").is_file():
            return Path(text)
    if shutil.which("java"):
        return None
    raise PrerequisiteError(
        f"Java is missing (looked in {note}, JAVA_HOME and on the PATH); `make setup` installs one, or install Java 17"
    )
