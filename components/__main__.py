"""`python -m components run --day D`: the release pipeline here or on an endpoint; `compile`: its YAML."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from contracts.days import parse_day
from contracts.errors import AdLensError
from contracts.settings import Settings, load

COMPILED = Path(__file__).with_name("adlens_pipeline.yaml")


def step_settings(settings: Settings) -> dict[str, str]:
    """What the steps' commands find in their environment: the settings that somebody set, folders absolute."""
    chosen = {f"ADLENS_{name.upper()}": getattr(settings, name) for name in sorted(settings.model_fields_set)}
    texts = {name: str(value) for name, value in chosen.items() if value is not None}
    if settings.landing is not None:
        texts["ADLENS_LANDING"] = str(settings.landing_path)
    return texts | {"ADLENS_HOME": str(settings.home_path)}


def compile_to(where: Path) -> None:
    """Writes the pipeline as KFP's YAML."""
    from kfp import compiler

    from components.pipeline import release

    compiler.Compiler().compile(release, str(where))


def run_here(settings: Settings, day: str) -> str:
    """Runs the pipeline by kfp.local in this environment. Returns the digest of what is served now.

    Raises AdLensError naming the step that stopped; the step itself has said why.
    """
    from kfp import local

    from components.pipeline import release

    home = settings.home_path / "kfp"
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as outputs:  # KFP's own copies; artifacts live under <home>/artifacts
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=outputs, raise_on_error=True)
        try:
            return str(release(day=day, settings=step_settings(settings)).output)
        except RuntimeError as stopped:
            raise AdLensError(f"the release pipeline of {day} stopped ({str(stopped).splitlines()[0]})") from None


def run_there(settings: Settings, day: str) -> str:
    """Runs the pipeline on the KFP endpoint and waits. Raises AdLensError when it did not succeed."""
    import kfp

    client = kfp.Client(host=settings.kfp_endpoint)
    arguments = {"day": day, "settings": step_settings(settings)}
    run = client.create_run_from_pipeline_package(
        str(COMPILED), arguments=arguments, run_name=f"adlens-{day}", enable_caching=False
    )
    state = run.wait_for_run_completion().state
    if str(state).upper() != "SUCCEEDED":
        raise AdLensError(f"run {run.run_id} of {day} on {settings.kfp_endpoint} ended as {state}; its log says why")
    return str(run.run_id)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="components", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train, lookup table, gate, publish for one day")
    run.add_argument("--day", required=True, metavar="YYYY-MM-DD")
    compiled = commands.add_parser("compile", help=f"write {COMPILED.name}")
    compiled.add_argument("--output", type=Path, default=COMPILED)
    return top


def main(argv: list[str] | None = None) -> int:
    asked = parser().parse_args(argv)
    try:
        if asked.command == "compile":
            compile_to(asked.output)
            print(f"wrote {asked.output}")
            return 0
        settings, day = load(), parse_day(asked.day).isoformat()
        print((run_there if settings.kfp_endpoint else run_here)(settings, day))
        return 0
    except AdLensError as error:
        print(f"stopped: {error}", file=sys.stderr)  # the step's own line begins with `error:`
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
