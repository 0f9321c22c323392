"""Stages 6 to 8 (`lookup-table`, `gate`, `publish`), and what people do: rollback, freeze, promote, history, models."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

from contracts import outcome
from contracts.artifacts import write_atomically
from contracts.errors import AdLensError
from contracts.settings import Settings, load
from release.stamp import now

ADDRESSED = {
    "lookup-table": ("--model", "a model's manifest", "every ad's picture through the model's CNN"),
    "gate": ("--table", "a table's manifest", "challenger against champion on the held-out day"),
    "publish": ("--decision", "a decision's manifest", "do what the decision says"),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (option, what, purpose) in ADDRESSED.items():
        stage = commands.add_parser(name, help=purpose)
        stage.add_argument(option, dest="address", required=True, type=Path, metavar="ADDR", help=f"address of {what}")
        if name == "gate":
            stage.epilog = "`adlens gate demo` sends seven bad challengers through it and shows why each is refused"
        stage.add_argument("--address-file", type=Path, metavar="F", help="also write the result's address here")
    fresh = commands.add_parser("refresh-table", help="new ads get vectors from the model in service")
    fresh.add_argument("--day", metavar="YYYY-MM-DD", help="whose catalogue (default: the newest)")
    back = commands.add_parser("rollback", help="serve an earlier publication again")
    which = back.add_mutually_exclusive_group()
    which.add_argument("--to", metavar="VERSION", help="MLflow's version (default: what served before the present one)")
    which.add_argument("--publication", type=int, metavar="N", help="exactly this publication of `adlens history`")
    back.add_argument("--reason", default="", help="a sentence for the log (default: `back to publication N`)")
    stop = commands.add_parser("freeze", help="no challenger is published by itself from now on; training goes on")
    stop.add_argument("--reason", required=True, help="a sentence, which each day's summary repeats")
    on = commands.add_parser("unfreeze", help="challengers are published by themselves again")
    on.add_argument("--reason", default="", help="a sentence for the log")
    ask = commands.add_parser("promote", help="put a version through the gate and into service")
    ask.add_argument("version", metavar="VERSION", help="MLflow's version (adlens models list)")
    ask.add_argument("--reason", required=True, help="a sentence for the log")
    ask.add_argument("--force", action="store_true", help="also against the gate's no; recorded as such")
    commands.add_parser("reconcile", help="finish what was interrupted; answer what was asked for in MLflow")
    commands.add_parser("history", help="what served from when to when, by whom, and why")
    again = commands.add_parser("repeat", help="train a model again from its manifest, and compare every bit")
    again.add_argument("run", metavar="RUN", help="MLflow's version or run id, or the address of a model's manifest")
    again.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the model that was made, here")
    models = commands.add_parser("models", help="list, show or compare versions").add_subparsers(
        dest="view", required=True
    )
    models.add_parser("list", help="all of this slot")
    models.add_parser("show", help="one, with its manifest").add_argument("version")
    two = models.add_parser("compare", help="what changed in data, config, features and figures")
    two.add_argument("version")
    two.add_argument("other")
    return parser


def _lookup_table(arguments: argparse.Namespace, settings: Settings) -> str:
    from release.lookup import lookup_table

    return str(lookup_table.run(arguments.address, settings))


def _gate(arguments: argparse.Namespace, settings: Settings) -> str:
    from release.judging import gate

    address = gate.run(arguments.address, settings)
    for line in gate.sentences(gate.read_decision(address)):
        print(line)
    return str(address)


def _publish(arguments: argparse.Namespace, settings: Settings) -> str:
    from contracts.report import read_all
    from release.judging import gate
    from release.publishing import publish

    entry = publish.run(arguments.address, settings, publish.By("", now()))
    day = gate.read_decision(arguments.address)["day"]
    for written in read_all(settings, day):
        if written.stage == publish.STAGE:
            print("\n".join(written.remarks))
    return "" if entry is None else entry.bundle


def _refresh_table(arguments: argparse.Namespace, settings: Settings) -> str:
    from contracts.days import parse_day
    from release.lookup.refresh import refresh

    entry, new = refresh(settings, parse_day(arguments.day).isoformat() if arguments.day else None, now())
    if entry is None:
        print("nothing is published yet: there is no table to refresh")
    else:
        print(f"publication {entry.publication}: {entry.reason}" if new else "nothing new: the table stays as it is")
    return ""


def _rollback(arguments: argparse.Namespace, settings: Settings) -> str:
    started = time.monotonic()
    from release.publishing.rollback import rollback

    entry = rollback(settings, arguments.to, arguments.reason, arguments.publication, _who(), now())
    print(
        f"publication {entry.publication}: serves bundle {entry.bundle[:12]} again "
        f"({time.monotonic() - started:.2f} s); MLflow's alias follows",
        flush=True,
    )
    _reconcile_afterwards(settings)
    return ""


def _freeze(arguments: argparse.Namespace, settings: Settings) -> str:
    from release.publishing import rollback

    act = rollback.freeze if arguments.command == "freeze" else rollback.unfreeze
    entry = act(settings, arguments.reason, _who(), now())
    print(f"publication {entry.publication}: {entry.action}: {entry.reason}", flush=True)
    _reconcile_afterwards(settings)
    return ""


def _promote(arguments: argparse.Namespace, settings: Settings) -> str:
    from release.publishing.publish import By
    from release.versions import requests

    said = requests.promote(arguments.version, arguments.reason, arguments.force, By(_who(), now()), settings)
    print("\n".join(said))
    return ""


def _reconcile(arguments: argparse.Namespace, settings: Settings) -> str:
    from release.publishing.publish import By
    from release.versions import requests

    said = requests.reconcile(settings, By("adlens reconcile", now()))
    print("\n".join(said) or "nothing to do: log, pointer and MLflow agree, and nobody asks for anything")
    return ""


def _history(arguments: argparse.Namespace, settings: Settings) -> str:
    from release.publishing import history

    history.show(settings)
    return ""


def _models(arguments: argparse.Namespace, settings: Settings) -> str:
    from release.versions import models

    if arguments.view == "list":
        models.listed(settings)
    elif arguments.view == "show":
        models.shown(arguments.version, settings)
    else:
        models.compared(arguments.version, arguments.other, settings)
    return ""


def _repeat(arguments: argparse.Namespace, settings: Settings) -> str:
    from release.versions import repeat

    print(repeat.repeat(repeat.manifest_of(arguments.run, settings), settings, arguments.keep))
    return ""


def _who() -> str:
    """For the log: who typed this, and where."""
    import getpass
    import socket

    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a container's user without a name
        return f"somebody@{socket.gethostname()}"


def _reconcile_afterwards(settings: Settings) -> None:
    """MLflow's import takes longer than a rollback may: a process of its own does it, and whoever comes next if not."""
    import subprocess

    from contracts import paths

    log = paths.logs(settings) / "reconcile.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        subprocess.Popen(
            [sys.executable, "-m", "release", "reconcile"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


COMMANDS = {
    "lookup-table": _lookup_table,
    "gate": _gate,
    "publish": _publish,
    "refresh-table": _refresh_table,
    "rollback": _rollback,
    "freeze": _freeze,
    "unfreeze": _freeze,
    "promote": _promote,
    "reconcile": _reconcile,
    "history": _history,
    "models": _models,
    "repeat": _repeat,
}


APART = {  # with options of their own
    ("gate", "demo"): "release.judging.gate_demo",
    ("served-quality",): "release.judging.served_quality",
    ("tidy",): "release.publishing.tidy",
}


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    # Before numpy is imported: BLAS threads that wait for each other on a busy machine cost ten times the work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    settings = None
    try:
        for first, module in APART.items():
            if tuple(words[: len(first)]) == first:
                return int(importlib.import_module(module).main(words[len(first) :]))
        arguments = _parser().parse_args(words)
        settings = load()
        result = COMMANDS[arguments.command](arguments, settings)
        if result and arguments.address_file:
            write_atomically(arguments.address_file, result)
    except AdLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return outcome.failed(settings, error)
    if result:
        print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
