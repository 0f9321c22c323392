"""Published days that a run of other days must leave as they are: what stage 1 staged of them no audit has passed.

A run publishes more than its own days: labels of the days before it, which its clicks changed, and set-aside clicks of
the days after it. It does so by copying staged days whole. Where a folder landed again, and was refused or is not
audited yet, these hold its rows too, and its clicks are in the labels of the days before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.days import parse_day
from contracts.settings import Settings
from spark_jobs import delta, figure_table, quarantine
from spark_jobs.labels import CLICK_REASONS

LABELS = ("label", "clicked_at")  # what clicks of other folders change in an impression


def waiting(
    spark: SparkSession, settings: Settings, run: Sequence[str], older: Sequence[str], newer: Sequence[str]
) -> dict[str, str]:
    """Those of the published days `older` and `newer` that must stay -> the folder whose audit they wait for.

    A day waits for itself where its staged rows differ from the published ones in more than what other folders decide,
    and an older day for a folder whose clicks may have reached it. Cost: one query, which sums hashes of the days'
    impressions and clicks as they are staged and as they are published. That folder's own run then publishes all days
    that waited for it, because it reaches as far back as its clicks do.
    """
    if not older and not newer:
        return {}
    rows, clicks = _differing(spark, settings, older, newer)
    clicks |= _refused(settings, run, older)
    found = {day: day for day in (*older, *newer) if day in rows}
    found |= {day: day for day in newer if day in clicks}
    for day in older:
        last = (parse_day(day) + timedelta(days=settings.lateness_days)).isoformat()
        reaching = sorted(folder for folder in clicks if day <= folder <= last)
        if reaching:
            found.setdefault(day, reaching[-1])
    return found


def said(waits: dict[str, str]) -> list[str]:
    """A sentence for each folder that is waited for."""
    sentences = []
    for folder in sorted(set(waits.values())):
        days = ", ".join(day for day in sorted(waits) if waits[day] == folder)
        commands = " and ".join(f"`adlens {stage} --start {folder}`" for stage in ("impressions", "quality"))
        sentences.append(
            f"left as published: {days}; rows of folder {folder} are staged that no audit has passed. "
            f"Once that folder is right: {commands}"
        )
    return sentences


def _differing(
    spark: SparkSession, settings: Settings, older: Sequence[str], newer: Sequence[str]
) -> tuple[set[str], set[str]]:
    """(days whose impressions, or set-aside rows that are no matter of other folders, are staged otherwise than they
    are published; folders whose clicks are)."""

    def parts(name: str, days: Sequence[str]) -> list[DataFrame]:
        twins = [(staged, _own(name, delta.read(spark, settings, name, days, staged))) for staged in (False, True)]
        return [
            delta.hashed(frame).select(F.lit(name).alias("table"), F.lit(staged).alias("staged"), "day", "h")
            for staged, frame in twins
        ]

    both = [*older, *newer]
    frames = parts("impressions", both) + parts("clicks", both) + (parts("quarantine", newer) if newer else [])
    sums = delta.sums(reduce(DataFrame.union, frames), "table", "staged", "day")
    changed = {
        (name, str(day)) for (name, staged, day), found in sums.items() if sums.get((name, not staged, day)) != found
    }
    clicks = {day for name, day in changed if name == "clicks"}
    return {day for name, day in changed if name != "clicks"}, clicks


def _own(name: str, frame: DataFrame) -> DataFrame:
    """What of a table's rows its own folder alone decides."""
    if name == "impressions":
        return frame.drop(*LABELS)
    if name == "quarantine":
        own = frame.where(~((F.col("source") == "clicks") & F.col("reason").isin(*CLICK_REASONS)))
        return own.withColumn("times", quarantine.times()).drop("rule")  # a name follows from the reason
    return frame


def _refused(settings: Settings, run: Sequence[str], older: Sequence[str]) -> set[str]:
    """Folders near the older days that an audit has refused and none has passed: they have figures and no rows."""
    if not older:
        return set()
    first, last = parse_day(older[0]), parse_day(older[-1])
    near = [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + settings.lateness_days + 1)]
    unpublished = sorted(set(near) - set(run) - delta.built_days(settings, "impressions"))
    return set(figure_table.read(settings, unpublished)) if unpublished else set()
