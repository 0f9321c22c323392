"""`python -m components run --day D`: the release pipeline here or on an endpoint; `compile`: its YAML."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from contracts import outcome
from contracts.days import parse_day
from contracts.errors import AdLensError
from contracts.settings import Settings, load

COMPILED = Path(__file__).with_name("adlens_pipeline.yaml")


def step_settings(settings: Settings, day: str) -> dict[str, str]:
    """What the steps' commands find in their environment: the settings that somebody set, folders absolute, and where a
    step that fails leaves its exit code."""
    chosen = {f"ADLENS_{name.upper()}": getattr(settings, name) for name in sorted(settings.model_fields_set)}
    texts = {name: str(value) for name, value in chosen.items() if value is not None}
    if settings.landing is not None:
        texts["ADLENS_LANDING"] = str(settings.landing_path)
    return texts | {"ADLENS_HOME": str(settings.home_path), "ADLENS_OUTCOME": str(outcome.place(settings, day))}


def stopped(settings: Settings, day: str, said: str) -> AdLensError:
    """The error of a pipeline that stopped, with its step's own exit code where the step has left one: Airflow decides
    by it whether another try is worth while."""
    error = AdLensError(said)
    error.exit_code = outcome.taken(outcome.place(settings, day)) or error.exit_code
    return error


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
    outcome.taken(outcome.place(settings, day))  # of an attempt that was killed
    with tempfile.TemporaryDirectory(dir=home) as outputs:  # KFP's own copies; artifacts live under <home>/artifacts
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=outputs, raise_on_error=True)
        try:
            return str(release(day=day, settings=step_settings(settings, day)).output)
        except RuntimeError as error:
            said = f"the release pipeline of {day} stopped ({str(error).splitlines()[0]})"
            raise stopped(settings, day, said) from None


def run_there(settings: Settings, day: str) -> str:
    """Runs the pipeline on the KFP endpoint and waits. Raises AdLensError when it did not succeed."""
    import kfp

    outcome.taken(outcome.place(settings, day))
    client = kfp.Client(host=settings.kfp_endpoint)
    arguments = {"day": day, "settings": step_settings(settings, day)}
    run = client.create_run_from_pipeline_package(
        str(COMPILED), arguments=arguments, run_name=f"adlens-{day}", enable_caching=False
    )
    state = run.wait_for_run_completion().state
    if str(state).upper() != "SUCCEEDED":
        said = f"run {run.run_id} of {day} on {settings.kfp_endpoint} ended as {state}; its log says why"
        raise stopped(settings, day, said)
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
