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
from contracts.errors import AdLensError, InputError, MissingArtifact
from contracts.features import built, lookback
from contracts.report import StageReport
from contracts.settings import Settings
from contracts.tables import LANDING, TABLES
from spark_jobs import delta, features, figure_table, groups, impressions, quality, released
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
    """Put the rows back and build again what follows. Done before, it commits nothing; killed, it is finished, or
    refused, by doing it again.

    Raises InputError where stage 1 still sets one of them aside, or another row for it, and what a stage raises that
    follows, an audit that refuses the day among them. It then leaves the day as it was.
    """
    there, ids = kept(spark, settings, day), {one.id for one in asked}
    before = [one for one in there if one.id not in ids]
    audited = day in delta.built_days(settings, figure_table.NAME)
    again, ran = len(before) < len(there), list[tuple[Run, Days]]()
    if again and _unfinished(settings, day):  # else what a killed attempt set aside would count as there before
        _undo(spark, settings, day, before, [])
    counts = _counts(settings, day)
    keep(spark, settings, day, together(there, asked))
    try:
        reports = [impressions.run(spark, settings, Days.parse(day))]
        _refuse_set_aside(settings, day, asked, counts)
        say(_line(reports[0]))
        for run, days in following(settings, day):
            ran.append((run, days))
            reports.append(run(spark, settings, days))
            say(_line(reports[-1]))
    except AdLensError as error:
        if again:
            ran = following(settings, day)
        _undo(spark, settings, day, before, ran if audited else [])
        raise type(error)(f"nothing is released into {day}: {error}") from error
    for (source, reason), n in sorted((counts - _counts(settings, day)).items()):
        say(f"no longer set aside: {n} {source}: {reason}")
    return reports


def _refuse_set_aside(settings: Settings, day: str, asked: Sequence[Release], counts: Counter[tuple[str, str]]) -> None:
    """Raises InputError where stage 1 has set released rows aside, or more of the others than before."""
    wrong = _still_wrong(settings, day, asked)
    more = _counts(settings, day) - counts - Counter((one.source, reason) for one, reason in wrong)
    if wrong or more:
        said = [f"{one.id} ({one.source}): {reason}" for one, reason in wrong]
        said += [f"{n} other rows of {source} would be set aside: {reason}" for (source, reason), n in more.items()]
        raise InputError(f"{'; '.join(said)}. Mend these rows, or leave them out")


def _unfinished(settings: Settings, day: str) -> bool:
    """Whether stage 1 has set aside other rows than those that the audit has passed: both count the same after a
    release that went through."""
    return _counts(settings, day) != _counts(settings, day, staged=False)


def _undo(
    spark: SparkSession, settings: Settings, day: str, before: Sequence[Release], ran: Sequence[tuple[Run, Days]]
) -> None:
    """Make the released rows those of before, and build again what was built since."""
    keep(spark, settings, day, before)
    impressions.run(spark, settings, Days.parse(day))
    for run, days in ran:
        try:
            run(spark, settings, days)
        except AdLensError:  # a day that its audit refused before as well, or that can go no further than it had
            return


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
    ids, same = {one.id for one in asked}, {one.id: one for one in before}
    replaced = {(one.source, one.row): one for one in before}
    origin = {one.id: replaced.get((one.source, one.original), same.get(one.id)) for one in asked}
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


def _counts(settings: Settings, day: str, staged: bool = True) -> Counter[tuple[str, str]]:
    try:
        found = quarantined.counts(settings, [day], staged)
    except MissingArtifact:  # nothing is published yet
        return Counter()
    return Counter({(source, reason): n for _, source, reason, n in found})


def _line(report: StageReport) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return f"{report.stage} up to {report.day}: {report.rows_out:,} rows out; versions: {versions}"
