"""Stages 6 to 8 (`lookup-table`, `gate`, `publish`), `refresh-table`, `served-quality`, `rollback` and `history`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

from contracts.artifacts import write_atomically
from contracts.errors import AdLensError
from contracts.settings import Settings, load


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    stages = (
        ("lookup-table", "--model", "a model's manifest", "every ad's picture through the model's CNN"),
        ("gate", "--table", "a table's manifest", "challenger against champion on the held-out day"),
        ("publish", "--decision", "a decision's manifest", "do what the decision says"),
    )
    for name, option, what, purpose in stages:
        stage = commands.add_parser(name, help=purpose)
        stage.add_argument(option, dest="address", required=True, type=Path, metavar="ADDR", help=f"address of {what}")
        if name == "gate":
            stage.epilog = "`adlens gate demo` sends seven bad challengers through it and shows why each is refused"
        stage.add_argument("--address-file", type=Path, metavar="F", help="also write the result's address here")
    fresh = commands.add_parser("refresh-table", help="new ads get vectors from the model in service")
    fresh.add_argument("--day", metavar="YYYY-MM-DD", help="whose catalogue (default: the newest)")
    back = commands.add_parser("rollback", help="serve an earlier publication again")
    back.add_argument("--to", type=int, metavar="N", help="its number (default: what served before the present model)")
    back.add_argument("--reason", default="", help="a sentence for the log")
    commands.add_parser("history", help="what served when, and why")
    return parser


def _lookup_table(arguments: argparse.Namespace, settings: Settings) -> str:
    from release import lookup_table

    return str(lookup_table.run(arguments.address, settings))


def _gate(arguments: argparse.Namespace, settings: Settings) -> str:
    from release import gate

    address = gate.run(arguments.address, settings)
    for line in gate.sentences(gate.read_decision(address)):
        print(line)
    return str(address)


def _publish(arguments: argparse.Namespace, settings: Settings) -> str:
    from contracts.report import read_all
    from release import gate, publish

    entry = publish.run(arguments.address, settings)
    day = gate.read_decision(arguments.address)["day"]
    for written in read_all(settings, day):
        if written.stage == publish.STAGE:
            print("\n".join(written.remarks))
    return "" if entry is None else entry.bundle


def _refresh_table(arguments: argparse.Namespace, settings: Settings) -> str:
    from contracts.days import parse_day
    from release.refresh import refresh

    entry, new = refresh(settings, parse_day(arguments.day).isoformat() if arguments.day else None)
    if entry is None:
        print("nothing is published yet: there is no table to refresh")
    else:
        print(f"publication {entry.publication}: {entry.reason}" if new else "nothing new: the table stays as it is")
    return ""


def _rollback(arguments: argparse.Namespace, settings: Settings) -> str:
    from release.rollback import rollback

    started = time.monotonic()
    entry = rollback(settings, arguments.to, arguments.reason)
    print(
        f"publication {entry.publication}: serves bundle {entry.bundle[:12]} again "
        f"({time.monotonic() - started:.2f} s)",
        flush=True,
    )
    from release.registry import crown

    version = crown(Path(entry.model), entry.bundle, settings)
    print(f"MLflow's alias is on version {version}")
    return ""


def _history(arguments: argparse.Namespace, settings: Settings) -> str:
    from rich.console import Console
    from rich.table import Table

    from release import publications
    from release.repeating import model_repeatable
    from serving.bundle import read_pointer

    current = read_pointer(settings)
    table = Table(title="publications")
    for column in ("", "#", "day", "action", "model of", "bundle", "reason", "model can be repeated"):
        table.add_column(column)
    for entry in publications.read(settings):
        served = "->" if current and current.publication == entry.publication else ""
        model_day = Path(entry.model).parent.parent.name
        again = model_repeatable(entry.model, settings)
        cells = (served, str(entry.publication), entry.day, entry.action, model_day, entry.bundle[:12], entry.reason)
        table.add_row(*cells, again or "yes")
    Console().print(table)
    return ""


COMMANDS = {
    "lookup-table": _lookup_table,
    "gate": _gate,
    "publish": _publish,
    "refresh-table": _refresh_table,
    "rollback": _rollback,
    "history": _history,
}


APART = {("gate", "demo"): "release.gate_demo", ("served-quality",): "release.served_quality"}  # with own options


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    # Before numpy is imported: BLAS threads that wait for each other on a busy machine cost ten times the work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        for first, module in APART.items():
            if tuple(words[: len(first)]) == first:
                return int(importlib.import_module(module).main(words[len(first) :]))
        arguments = _parser().parse_args(words)
        result = COMMANDS[arguments.command](arguments, load())
        if result and arguments.address_file:
            write_atomically(arguments.address_file, result)
    except AdLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if result:
        print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
