"""The last day run first builds what it needs of the days before; groups whose labels changed are written again."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from contracts.days import Days
from contracts.settings import Settings
from spark_jobs import delta, features, groups, impressions, quality, rebuild
from spark_jobs.__main__ import caught_up
from tests.spark.conftest import link_setup
from tests.spark.test_interrupted import tables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    LandingFolder = Any

ALL, LAST = Days.parse("2026-01-01", "2026-01-04"), Days.parse("2026-01-03")


def fill(landing: LandingFolder) -> None:
    """Three days; on the second and third also a click on the day before, and a profile of nulls."""
    for day in (1, 2, 3):
        noon = dt.datetime(2026, 1, day, 12, tzinfo=dt.UTC)
        shown = [(f"i{n}", noon, "u" if n % 3 else "v", "a", n % 3, None) for n in range(300)]
        clicks = [(f"i{n}", noon + dt.timedelta(minutes=5), noon + dt.timedelta(minutes=5)) for n in range(30)]
        late = [("i250", noon - dt.timedelta(hours=23), noon)] if day > 1 else []
        landing.day(
            f"2026-01-0{day}", impressions=shown, clicks=[*clicks, *late],
            behaviours=[("u", "a", "view", noon)], users=[("u", "25-34", "f", "north", "low"), ("v", *4 * (None,))],
        )  # fmt: skip


def grouped_labels(spark: SparkSession, settings: Settings, table: str, day: str) -> int:
    rows = delta.read(spark, settings, table, [day]).select(F.explode("impressions").alias("row"))
    return int(rows.agg(F.sum("row.label")).collect()[0][0])


@pytest.mark.slow
def test_the_last_day_alone_and_then_days_whose_labels_changed(
    spark: SparkSession, settings: Settings, landing: LandingFolder, tmp_path: Path
) -> None:
    fill(landing)
    for run in (impressions.run, quality.run, features.run, groups.run):
        run(spark, settings, ALL)
    late = settings.model_copy(update={"home": tmp_path / "late", "landing": settings.landing_path})
    link_setup(late.home_path)
    said = caught_up(spark, late, "impressions", LAST)
    assert [text.split(" was ")[0] for text in said] == [
        "impressions of [2026-01-01, 2026-01-03)", "quality of [2026-01-01, 2026-01-03)",
    ]  # fmt: skip
    for run in (impressions.run, quality.run, features.run):
        run(spark, late, LAST)
    said = caught_up(spark, late, "groups", LAST)
    assert [text.split(" was ")[0] for text in said] == [
        "features of [2026-01-01, 2026-01-03)", "groups of [2026-01-02, 2026-01-03)",
    ]  # fmt: skip
    groups.run(spark, late, LAST)
    assert tables(spark, late) == tables(spark, settings)
    assert caught_up(spark, late, "impressions", LAST) == caught_up(spark, late, "groups", LAST) == []

    days = ["2026-01-02", "2026-01-03"]
    log = delta.read(spark, late, "impressions", days)
    changed = log.withColumn("label", F.when(F.col("impression_id") == "i200", 1).otherwise(F.col("label")))
    delta.write_days(spark, late, "impressions", changed, days)
    before = [grouped_labels(spark, late, "ad_groups", day) for day in days]
    for most, written, left in ((1, days[:1], days[1:]), (1, days[1:], []), (4, [], [])):
        report = rebuild.run(spark, late, ALL, most=most)
        assert report.counts == {"differing_days": len(written + left), "written_days": len(written)}
        assert any(day in report.remarks[-1] for day in left) == bool(left)
        assert all(day in report.remarks[0] for day in written)
    for table in ("ad_groups", "user_groups"):
        assert [grouped_labels(spark, late, table, day) for day in days] == [n + 1 for n in before]
