"""`adlens <command> ...`: one command for everything that people type by hand. `adlens --help` lists it."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from dataclasses import dataclass

from contracts.errors import AdLensError


@dataclass(frozen=True)
class Command:
    """`module` has `main(argv) -> int`; `first` are the words it wants before the user's."""

    module: str
    help: str
    first: tuple[str, ...] = ()


def _spark(name: str, what: str) -> Command:
    return Command("spark_jobs.__main__", what, (name,))


def _release(name: str, what: str) -> Command:
    return Command("release.__main__", what, (name,))


COMMANDS: dict[str, Command] = {
    "day": Command("adlens.day", "run the next day, or a given one, from its click log to a published model"),
    "up": Command("adlens.services", "start Airflow, MLflow and Data Docs on this machine only", ("up",)),
    "down": Command("adlens.services", "stop what `adlens up` started", ("down",)),
    "airflow": Command("adlens.airflow_cli", "Airflow's own command line on this home: backfill, clear, pause"),
    "info": Command("adlens.info", "where everything is, and what is served now"),
    "landing": Command("landing.__main__", "check, generate or adapt landing data"),
    "impressions": _spark("impressions", "1 landing files -> impressions with labels, staged; quarantine"),
    "quality": _spark("quality", "2 audit the day and publish it"),
    "quarantine": Command("adlens.quarantine", "list, show and release the rows that were set aside"),
    "features": Command(
        "spark_jobs.feature_commands", "3 snapshots: user_features, ad_features; also `features list | plan | apply`"
    ),
    "materialise": _spark("materialise", "3 newest snapshot -> Feast's online store"),
    "groups": _spark("groups", "4 impressions with the snapshot before them: ad_groups, user_groups"),
    "rebuild": _spark("rebuild", "4 groups again where late clicks have changed a label"),
    "changes": Command("adlens.changes", "which days of which table were written when, by which run, and why"),
    "maintain": Command("adlens.maintain", "delete what need not be kept, put small files together, free the space"),
    "erase": Command("adlens.erase", "remove a person from everything that AdLens keeps"),
    "train": Command("training.__main__", "5 DCN + CSCNN on the days before D", ("train",)),
    "lookup-table": _release("lookup-table", "6 every ad's picture -> its visual vector"),
    "gate": _release("gate", "7 challenger against champion on the held-out day; `gate demo`: seven bad ones"),
    "served-quality": _release("served-quality", "what the served model was worth once all late clicks were in"),
    "publish": _release("publish", "8 switch what the predictor serves"),
    "refresh-table": _release("refresh-table", "new ads get vectors from the model in service"),
    "rollback": _release("rollback", "serve again what was served before"),
    "freeze": _release("freeze", "no challenger is published by itself until `unfreeze`; training goes on"),
    "unfreeze": _release("unfreeze", "challengers are published by themselves again"),
    "promote": _release("promote", "put a version of MLflow through the gate and into service"),
    "reconcile": _release("reconcile", "finish what was interrupted; answer what was asked for in MLflow"),
    "history": _release("history", "what served from when to when, by whom, and why"),
    "models": _release("models", "versions: list, show, compare two"),
    "repeat": _release("repeat", "train a model again from its manifest, and compare every bit"),
    "predict": Command("serving.__main__", "CTR of some ads for a user, as served", ("predict",)),
}


def usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        ["usage: adlens <command> [options]      (`adlens <command> --help` says more)", "", *lines, ""]
        + ["Settings come from ADLENS_<NAME> and from adlens.yaml in the landing folder (contracts/settings.py)."]
        + ["Exit codes: 0 done, 1 other, 2 input, 3 prerequisite, 4 quality, 5 missing, 6 setting, 7 damaged,"]
        + ["8 overtaken by another publisher."]
    )


def main(argv: list[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    command = COMMANDS.get(words[0])
    if command is None:
        print(f"error: `{words[0]}` is no command; known: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, with what it started
    try:
        if words[0] != "day":  # `day` may be told a folder, and then decides itself
            _recall_landing()
        module = importlib.import_module(command.module)
        return int(module.main([*command.first, *words[1:]]) or 0)
    except AdLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command goes on where this one was", file=sys.stderr)
        return 130


def _recall_landing() -> None:
    """A home that took somebody's own landing folder goes on with it, also in a stage run by hand."""
    from adlens.landing_memory import recalled
    from contracts.settings import load

    if not os.environ.get("ADLENS_LANDING"):
        folder = recalled(load())
        if folder is not None:
            os.environ["ADLENS_LANDING"] = str(folder)


if __name__ == "__main__":
    sys.exit(main())
