"""Putting quarantined rows back: kept in `released`, judged by stage 1 itself, and all that follows built again.

A released row counts as landed in its own folder, where it did land, only badly written (docs/adr/0004). So what is a
function of that folder is built again: the day, the snapshots that look back on it, the groups that see those.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from pyspark.sql import SparkSession

from contracts import quarantined
from contracts.days import Days, parse_day
from contracts.errors import InputError
from contracts.features import built, lookback
from contracts.report import StageReport
from contracts.settings import Settings
from contracts.tables import LANDING, TABLES
from spark_jobs import delta, features, groups, impressions, quality, released
from spark_jobs.small_frames import small_frame

Run = Callable[[SparkSession, Settings, Days], StageReport]


@dataclass(frozen=True)
class Release:
    """A row of the table `released`."""

    day: str
    source: str
    id: str
    row: str
    original: str
    reason: str
    waived: str | None
    because: str


def release(
    spark: SparkSession, settings: Settings, day: str, asked: Sequence[Release], say: Callable[[str], None] = print
) -> list[StageReport]:
    """Put the rows back and build again what follows. Done before, it commits nothing.

    Raises InputError, and leaves the day as it was, where stage 1 still sets one of them aside, or another row for it.
    """
    before = kept(spark, settings, day)
    counts = _counts(settings, day)
    keep(spark, settings, day, together(before, asked))
    reports = [impressions.run(spark, settings, Days.parse(day))]
    wrong = _still_wrong(settings, day, asked)
    more = _counts(settings, day) - counts - Counter((one.source, reason) for one, reason in wrong)
    if wrong or more:
        keep(spark, settings, day, before)
        impressions.run(spark, settings, Days.parse(day))
        said = [f"{one.id} ({one.source}): {reason}" for one, reason in wrong]
        said += [f"{n} other rows of {source} would be set aside: {reason}" for (source, reason), n in more.items()]
        raise InputError(f"nothing is released into {day}: {'; '.join(said)}. Mend these rows, or leave them out")
    say(_line(reports[0]))
    for run, days in following(settings, day):
        reports.append(run(spark, settings, days))
        say(_line(reports[-1]))
    for (source, reason), n in sorted((counts - _counts(settings, day)).items()):
        say(f"no longer set aside: {n} {source}: {reason}")
    return reports


def following(settings: Settings, day: str) -> list[tuple[Run, Days]]:
    """(stage, days) after stage 1: the audit of the day; the snapshots of the published days that look back on it; the
    groups of the days that see those."""
    own, folders = parse_day(day), lookback(built(settings))
    found: list[tuple[Run, Days]] = [(quality.run, Days.parse(day))]
    reaches: list[tuple[Run, str, int]] = [
        (features.run, "user_features", folders),
        (groups.run, "ad_groups", folders + 1),
    ]
    for run, table, reach in reaches:
        made = delta.built_days(settings, table)
        there = [one for one in Days(own, own + timedelta(days=reach)).texts() if one in made]
        if there:
            found.append((run, Days(parse_day(there[0]), parse_day(there[-1]) + timedelta(days=1))))
    return found


def kept(spark: SparkSession, settings: Settings, day: str) -> list[Release]:
    """What was released into a folder. People give these rows: there are few."""
    if day not in delta.built_days(settings, released.TABLE):
        return []
    return [Release(**row.asDict()) for row in delta.read(spark, settings, released.TABLE, [day]).collect()]


def keep(spark: SparkSession, settings: Settings, day: str, rows: Sequence[Release]) -> None:
    """Make these the folder's released rows."""
    table = TABLES[released.TABLE]
    values = [tuple(asdict(one)[name] for name in table.names()) for one in rows]
    delta.write_days(spark, settings, released.TABLE, small_frame(spark, values, table.ddl), [day], kept=True)


def together(before: Sequence[Release], asked: Sequence[Release]) -> list[Release]:
    """Both; a row asked for takes the place of one with its id, and of a released row that was set aside again."""
    ids = {one.id for one in asked}
    replaced = {(one.source, one.row): one for one in before}
    origin = {one.id: replaced.get((one.source, one.original)) for one in asked}
    gone = ids | {old.id for old in origin.values() if old is not None}
    new = [replace(one, original=old.original if (old := origin[one.id]) else one.original) for one in asked]
    return [one for one in before if one.id not in gone] + new


def _still_wrong(settings: Settings, day: str, asked: Sequence[Release]) -> list[tuple[Release, str]]:
    """Released rows that stage 1 has set aside, with the reason."""
    wanted = {(one.source, _content(one.source, one.row)): one for one in asked}
    found = []
    for row in quarantined.each(settings, day):
        one = wanted.get((row.source, _content(row.source, row.row)))
        if one is not None:
            found.append((one, row.reason))
    return found


def _content(source: str, text: str) -> object:
    """What a row's text says, whatever its spaces, order of keys and time format; the text where it is no row."""
    try:
        row: Mapping[str, object] = dict(json.loads(text))
        values = [(column, row.get(column.name)) for column in LANDING[source]]
        return tuple(
            datetime.fromisoformat(str(value)) if column.type == "timestamp" and value is not None else value
            for column, value in values
        )
    except (ValueError, TypeError, KeyError):
        return text


def _counts(settings: Settings, day: str) -> Counter[tuple[str, str]]:
    return Counter({(source, reason): n for _, source, reason, n in quarantined.counts(settings, [day])})


def _line(report: StageReport) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return f"{report.stage} up to {report.day}: {report.rows_out:,} rows out; versions: {versions}"
