"""The jobs beside the four data stages, over tables that these have built: each killed at every boundary, and once not.

A job here is (what it finds, what is run). What it finds is made in both homes alike, undisturbed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from contracts import quarantined
from contracts.days import Days
from contracts.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Maintenance that has something to do after a few days: it keeps nine, and no older version.
SHORT = {"window_days": 1, "lateness_days": 0, "rerun_days": 0, "vacuum_hours": 0, "log_retention_days": 0}
Run = Callable[["SparkSession", Settings, Days], object]


def nothing(spark: SparkSession, settings: Settings, days: Days) -> None:
    """The tables as they are."""


@dataclass(frozen=True)
class Job:
    run: Run
    finds: Run = nothing


def last(days: Days) -> Days:
    return Days(days.end - timedelta(days=1), days.end)


def changed_labels(spark: SparkSession, settings: Settings, days: Days) -> None:
    """Some labels of the log are no longer those of its groups."""
    from pyspark.sql import functions as F

    from spark_jobs import delta

    texts = days.texts()[1:3]
    log = delta.read(spark, settings, "impressions", texts)
    some = F.xxhash64("impression_id") % 50 == 0
    changed = log.withColumn("label", F.when(some, 1 - F.col("label")).otherwise(F.col("label")))
    delta.write_days(spark, settings, "impressions", changed, texts)


def rebuild(spark: SparkSession, settings: Settings, days: Days) -> None:
    from spark_jobs import rebuild

    rebuild.run(spark, settings, days)


def materialise(spark: SparkSession, settings: Settings, days: Days) -> None:
    from spark_jobs import materialise

    materialise.run(spark, settings, last(days))


def mended(spark: SparkSession, settings: Settings, days: Days) -> None:
    """The second day's impressions of unknown ads get one that is known."""
    from spark_jobs import delta, release_rows

    day = days.texts()[1]
    known = min(row["ad_id"] for row in delta.read(spark, settings, "ads", [day], staged=True).collect())
    file = settings.home_path / "asked.json"  # as a person's file, which holds the rows as they were set aside
    if not file.is_file():
        found = quarantined.each(settings, day, "impressions", "catalogue")
        file.write_text(json.dumps([(one.id, one.row, one.reason) for one in found]), encoding="utf-8")
    asked = []
    for name, original, reason in json.loads(file.read_text(encoding="utf-8")):
        row = json.dumps({**json.loads(original), "ad_id": known})
        asked.append(release_rows.Release(day, "impressions", name, row, original, reason, None, "mended"))
    assert asked, f"the generator set no impression of an unknown ad aside on {day}"
    release_rows.release(spark, settings, day, asked, say=lambda line: None)


def erase(spark: SparkSession, settings: Settings, days: Days) -> None:
    """The person with the most impressions; by id, so that a run that goes on asks for the same one."""
    from adlens.erase import erase_user

    asked = settings.home_path / "erased.txt"
    if not asked.is_file():
        from spark_jobs import delta

        shown = delta.read(spark, settings, "impressions").groupBy("user_id").count()
        asked.write_text(shown.orderBy("count", "user_id", ascending=False).first()["user_id"], encoding="utf-8")
    erase_user(spark, settings, asked.read_text(encoding="utf-8"), datetime(2026, 2, 1, tzinfo=UTC), "a test")


def maintain(spark: SparkSession, settings: Settings, days: Days) -> None:
    from spark_jobs import maintain

    maintain.run(spark, settings.model_copy(update=SHORT), last(days))


# In this order over the same tables: what an erasure leaves to maintenance is there then.
JOBS = {
    "rebuild": Job(rebuild, changed_labels),
    "quarantine release": Job(mended),
    "materialise": Job(materialise),
    "erase": Job(erase),
    "maintain": Job(maintain),
}
