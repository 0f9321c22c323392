"""`adlens quarantine list | show | release`: what was set aside and why, and mended rows put back (docs/quality.md)."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from contracts import quarantined, rules, suite_files
from contracts.days import Days, parse_day
from contracts.errors import InputError
from contracts.quarantined import Quarantined
from contracts.settings import Settings, load
from contracts.tables import LANDING

if TYPE_CHECKING:
    from spark_jobs.release_rows import Release

SHOWN = 20
MOST = 10_000  # rows of one release: more is a rule to change, not rows to mend
KEYS = {"id", "source", "rule", "reason", "times", "row"}


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="adlens quarantine", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    listed = commands.add_parser("list", help="how many rows, by day, source and reason")
    listed.add_argument("--start", metavar="YYYY-MM-DD", help="first day (default: all days)")
    listed.add_argument("--end", metavar="YYYY-MM-DD", help="day after the last (default: the day after start)")
    shown = commands.add_parser("show", help="rows as they landed, a JSON line each")
    _which(shown)
    shown.add_argument("--limit", type=int, default=SHOWN, help="most rows (default %(default)s)")
    back = commands.add_parser("release", help="put rows back and build the day again")
    _which(back)
    how = back.add_mutually_exclusive_group(required=True)
    how.add_argument("--rows", type=Path, metavar="FILE", help="mended rows: lines of `show` with a changed `row`")
    how.add_argument("--as-is", action="store_true", help="all rows of a declared rule that was too strict (--reason)")
    back.add_argument("--because", required=True, help="why, kept with the rows")
    return top


def _which(command: argparse.ArgumentParser) -> None:
    command.add_argument("--day", required=True, metavar="YYYY-MM-DD", help="the landing folder's day")
    command.add_argument("--source", choices=[*LANDING, "images"], help="only rows of this landing file")
    command.add_argument("--reason", metavar="TEXT", help="only rows whose reason contains this")


def show_counts(settings: Settings, start: str | None, end: str | None, console: Console) -> None:
    days = Days.parse(start, end).texts() if start else None
    table = Table("day", "source", "rows", "rule", "reason", box=None)
    found = quarantined.by_rule(settings, days)
    for day, source, reason, n, rule in found:
        table.add_row(day, source, f"{n:,}", rule, reason)
    if found:
        console.print(table)
    else:
        console.print("nothing was set aside")


def mended(settings: Settings, day: str, file: Path, because: str) -> list[Release]:
    """The rows of a file of `show`'s lines. Raises InputError naming line and what would be right."""
    from spark_jobs.release_rows import Release

    given: dict[str, str] = {}
    for number, line in enumerate(_lines(file), 1):
        where = f"{file}, line {number}"
        try:
            said = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where} is no JSON: {error}") from None
        if not isinstance(said, dict) or not {"id", "row"} <= set(said) <= KEYS or not isinstance(said["row"], dict):
            raise InputError(f'{where}: wanted {{"id": ..., "row": {{...}}}} as `adlens quarantine show` prints it')
        if said["id"] in given:
            raise InputError(f"{where}: the row {said['id']} is there twice")
        given[said["id"]] = json.dumps(said["row"], ensure_ascii=False)
    there = {one.id: one for one in quarantined.each(settings, day) if one.id in given}
    before = {one.id: one for one in _released(settings, day)}
    found = []
    for name, row in given.items():
        if name in there:
            one = there[name]
            _releasable(one)
            found.append(Release(day, one.source, name, row, one.row, one.reason, None, because))
        elif name in before and before[name].row == row:  # released by this command before, perhaps interrupted
            found.append(before[name])
        else:
            wanted = f"`adlens quarantine show --day {day}` prints the ids of {day}"
            raise InputError(f"no row {name} is set aside on {day}; {wanted}")
    return found


def as_they_are(settings: Settings, day: str, source: str | None, reason: str | None, because: str) -> list[Release]:
    """All rows of a folder that a declared rule set aside, with that rule waived for them. Raises InputError."""
    from spark_jobs.release_rows import Release

    if reason is None:
        raise InputError("--as-is wants --reason, the words of the rule that was too strict")
    some = list(itertools.islice(quarantined.each(settings, day, source, reason), MOST + 1))
    if len(some) > MOST:
        raise InputError(
            f"more than {MOST:,} rows of {day} were set aside for `{reason}`; change the rule in the landing folder's "
            "suites/<table>.yaml and run the day again (docs/quality.md)"
        )
    before = [one for one in _released(settings, day) if one.waived and reason in one.waived]
    if not some and not before:
        raise InputError(
            f"no row of {day} was set aside for `{reason}`; `adlens quarantine list --start {day}` tells more"
        )
    declared = {table: {rule.words for rule in suite.landed()} for table, suite in _suites(settings).items()}
    for one in some:
        _releasable(one)
        if one.reason not in declared[one.source]:
            waivable = "; ".join(sorted(declared[one.source])) or "none"
            raise InputError(
                f"rows set aside for `{one.reason}` cannot go back as they are: of {one.source} only these rules can "
                f"be waived: {waivable}. Mend the rows and give them with --rows"
            )
    new = [Release(day, one.source, one.id, one.row, one.row, one.reason, one.reason, because) for one in some]
    return before + new


def _suites(settings: Settings) -> dict[str, rules.Suite]:
    return suite_files.load(settings.landing_path)


def _releasable(one: Quarantined) -> None:
    if one.source not in LANDING:
        raise InputError(f"row {one.id} is about a picture: put the right file into images/ and run the day again")


def _released(settings: Settings, day: str) -> list[Release]:
    from deltalake import DeltaTable

    from contracts import paths
    from contracts.delta_dataset import dataset
    from spark_jobs.release_rows import Release
    from spark_jobs.released import TABLE

    where = paths.table(settings, TABLE)
    if not DeltaTable.is_deltatable(where):
        return []
    return [Release(**row) for row in dataset(DeltaTable(where), [day]).to_table().to_pylist() if row["day"] == day]


def _lines(file: Path) -> Iterable[str]:
    try:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}; wanted JSON lines in UTF-8") from None


def _release(settings: Settings, asked: argparse.Namespace) -> None:
    if asked.as_is:
        rows = as_they_are(settings, asked.day, asked.source, asked.reason, asked.because)
    elif asked.source or asked.reason:
        raise InputError("--rows names its rows by their ids; leave --source and --reason out")
    else:
        rows = mended(settings, asked.day, asked.rows, asked.because)
    if not rows:
        raise InputError(f"{asked.rows} holds no row")
    from spark_jobs import release_rows
    from spark_jobs.session import spark_session

    spark = spark_session(settings, "release")
    try:
        release_rows.release(spark, settings, asked.day, rows)
    finally:
        spark.stop()
    print(f"released into {asked.day}: {len(rows):,} rows")
    print("the online store takes the newest snapshot with the next `adlens materialise`")


def main(argv: list[str] | None = None) -> int:
    asked = parser().parse_args(argv)
    settings = load()
    if asked.command == "list":
        show_counts(settings, asked.start, asked.end, Console(highlight=False, soft_wrap=True))
        return 0
    parse_day(asked.day)
    if asked.command == "show":
        for one in itertools.islice(quarantined.each(settings, asked.day, asked.source, asked.reason), asked.limit):
            print(one.as_json())
        return 0
    _release(settings, asked)
    return 0
