"""Airflow's home under ADLENS_HOME, its environment, and a day's run through it: in-process, or by the API server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from adlens.environment import REPOSITORY, child_environment
from contracts import pools
from contracts.artifacts import write_atomically
from contracts.errors import PrerequisiteError
from contracts.settings import Settings

DAG = "adlens_daily"


def home(settings: Settings) -> Path:
    return settings.home_path / "airflow"


def environment(settings: Settings) -> dict[str, str]:
    """What every Airflow process of this home finds. Runs are asked for unless ADLENS_SCHEDULE says otherwise."""
    connection = {"conn_type": "spark", "host": settings.spark_master, "extra": {"deploy-mode": "client"}}
    base = child_environment(settings)
    return {
        "ADLENS_SCHEDULE": "none",
        **base,
        "AIRFLOW_HOME": str(home(settings)),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "infra" / "airflow" / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DEFAULT_TIMEZONE": settings.time_zone,  # of dates that a person types without one
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__SCHEDULER__CREATE_CRON_DATA_INTERVALS": "True",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home(settings) / 'airflow.db'}",
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps(connection),
    }


def airflow() -> str:
    return str(Path(sys.executable).with_name("airflow"))


def prepare(settings: Settings, log: Path) -> None:
    """Makes Airflow's database, once per Airflow version. Raises PrerequisiteError with the log's path."""
    from importlib.metadata import version

    home(settings).mkdir(parents=True, exist_ok=True)
    migrated = home(settings) / f"migrated-{version('apache-airflow-core')}"
    if not migrated.is_file():
        _airflow(settings, log, "make its database", "db", "migrate")
        migrated.touch()


def prepare_pools(settings: Settings, log: Path) -> None:
    """Makes Airflow's pools, once per size: a scheduler starts no task of a pool that is not there.

    Raises PrerequisiteError with the log's path.
    """
    made, wanted = home(settings) / "pools.json", json.dumps(pools.declared(settings), indent=2) + "\n"
    if not made.is_file() or made.read_text(encoding="utf-8") != wanted:
        asked = home(settings) / "pools-wanted.json"
        write_atomically(asked, wanted)
        _airflow(settings, log, "make its pools", "pools", "import", str(asked))
        asked.replace(made)


def _airflow(settings: Settings, log: Path, what: str, *words: str) -> None:
    with log.open("ab") as out:
        done = subprocess.run([airflow(), *words], env=environment(settings), stdout=out, stderr=out)
    if done.returncode != 0:
        raise PrerequisiteError(f"Airflow could not {what} in {home(settings)}; see {log}")


def test_environment(settings: Settings) -> dict[str, str]:
    """For a run without a scheduler: nobody watches a deadline, and `airflow dags test` (3.3.2) trips over one."""
    return environment(settings) | {"ADLENS_DEADLINE_MINUTES": "0"}


def test_command(day: str) -> list[str]:
    """One DAG run without a scheduler. The conf says the day, so that no interval rule can shift it."""
    return [airflow(), "dags", "test", DAG, day, "--conf", json.dumps({"day": day})]


class Api:
    """The REST API of the Airflow that `adlens up` started."""

    def __init__(self, address: str, user: str, password: str):
        self.address = address.rstrip("/")
        login = {"username": user, "password": password}
        self.token = str(self._call("POST", "/auth/token", login)["access_token"])

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            self.address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        if hasattr(self, "token"):
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return dict(json.loads(answer.read() or b"{}"))
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:300]
            raise PrerequisiteError(f"Airflow answered {error.code} to {method} {path}: {said}") from None
        except OSError as error:
            raise PrerequisiteError(
                f"Airflow at {self.address} does not answer ({error}); `adlens down`, then `adlens up`"
            ) from None

    def trigger(self, day: str) -> str:
        """Asks for a run of `day`. Returns its run id, new each time, so that a day can be run again."""
        self._call("PATCH", f"/api/v2/dags/{DAG}", {"is_paused": False})
        run_id = f"day__{day}__{time.time_ns() // 1_000_000}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": {"day": day}}
        self._call("POST", f"/api/v2/dags/{DAG}/dagRuns", body)
        return run_id

    def state(self, run_id: str) -> str:
        """queued, running, success or failed."""
        return str(self._call("GET", f"/api/v2/dags/{DAG}/dagRuns/{run_id}")["state"])

    def known(self) -> bool:
        """Whether the DAG has been parsed."""
        try:
            self._call("GET", f"/api/v2/dags/{DAG}")
            return True
        except PrerequisiteError:
            return False


def task_logs(settings: Settings, run_id: str) -> list[Path]:
    """The logs of a run's tasks, oldest first."""
    folder = home(settings) / "logs" / f"dag_id={DAG}" / f"run_id={run_id}"
    return sorted(folder.rglob("attempt=*.log"), key=lambda log: log.stat().st_mtime)
