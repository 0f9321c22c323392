"""`adlens changes`: which days of which table were written when, by which run, and why; from Delta's own log."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from contracts import paths
from contracts.commits import parsed
from contracts.days import Days, parse_day
from contracts.errors import InputError
from contracts.settings import Settings, load
from contracts.tables import STAGED, TABLES, group_tables


@dataclass(frozen=True)
class Change:
    """One commit and one reason of it. `days`: written again, or for the first time where `first`; `at`: Delta's
    commit time, UTC; `run`: half-open."""

    table: str
    version: int
    at: datetime
    days: tuple[str, ...]
    first: bool
    stage: str
    run: tuple[str, str]
    reason: str


def names() -> list[str]:
    declared = [*TABLES, *group_tables()]
    return [*declared, *(f"{STAGED}/{name}" for name in declared)]


def of_table(settings: Settings, name: str) -> Iterator[Change]:
    """The changes that the table's log still holds, newest first; none where there is no table."""
    from deltalake import DeltaTable

    where = paths.table(settings, name)
    if not DeltaTable.is_deltatable(where):
        return
    for commit in DeltaTable(where).history():
        said = parsed(commit.get("userMetadata"))
        if said is None:
            continue
        at = datetime.fromtimestamp(commit["timestamp"] / 1000, UTC)
        by_reason: dict[tuple[str, bool], list[str]] = {}
        for day, reason in sorted(said.why.items()):
            by_reason.setdefault((reason, day not in said.again), []).append(day)
        for (reason, first), days in by_reason.items():
            yield Change(name, commit["version"], at, tuple(days), first, said.stage, (said.start, said.end), reason)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="adlens changes", description=__doc__)
    parser.add_argument("--table", metavar="T", help="only this one, for example impressions or staged/clicks")
    parser.add_argument("--day", metavar="YYYY-MM-DD", help="only commits that wrote this day")
    asked = parser.parse_args(argv)
    if asked.table and asked.table not in names():
        raise InputError(f"no table {asked.table}; known: {', '.join(names())}")
    day = parse_day(asked.day).isoformat() if asked.day else None
    settings = load()
    wanted = [asked.table] if asked.table else [name for name in names() if not name.startswith(STAGED)]
    found = [one for name in wanted for one in of_table(settings, name) if day is None or day in one.days]
    table = Table(box=None, pad_edge=False)
    for column in ("when (UTC)", "table", "days", "", "run", "why"):
        table.add_column(column, overflow="fold")
    for one in sorted(found, key=lambda one: (one.at, one.table, one.version), reverse=True):
        run = f"{one.stage} {one.run[0]}" + ("" if len(Days.parse(*one.run)) == 1 else f" to {one.run[1]}")
        cells = (f"{one.at:%Y-%m-%d %H:%M:%S}", f"{one.table}@{one.version}", _span(one.days))
        table.add_row(*cells, "new" if one.first else "again", run, one.reason)
    if found:
        Console().print(table)
    else:
        print("no change that Delta's log still holds")
    return 0


def _span(days: tuple[str, ...]) -> str:
    return ", ".join(days) if len(days) <= 3 else f"{days[0]} ... {days[-1]} ({len(days)} days)"
