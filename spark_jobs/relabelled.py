"""Which built days' groups hold labels that the log no longer does: late clicks came (DESIGN, rule 1)."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.days import Days
from contracts.settings import Settings
from spark_jobs import delta


def days_to_rebuild(spark: SparkSession, settings: Settings, days: Days) -> list[str]:
    """Days before the interval, as far back as a late click reaches, whose groups differ from the log in a label.

    Compared are the tables themselves, so that no mark can be lost between two runs. Cost: one pass over two columns
    of `lateness_days` days of the log and of the groups.
    """
    reach = days.widened(before=settings.lateness_days)
    return differing(spark, settings, [day for day in reach.texts() if day < days.texts()[0]])


def differing(spark: SparkSession, settings: Settings, days: Sequence[str]) -> list[str]:
    """Those of `days` that have groups, and these hold another label than the log. Cost: one pass over two columns."""
    grouped = delta.built_days(settings, "ad_groups")
    some = [day for day in days if day in grouped]
    if not some:
        return []
    log = delta.read(spark, settings, "impressions", some).select("day", "impression_id", "label")
    rows = delta.read(spark, settings, "ad_groups", some).select("day", F.explode("impressions").alias("row"))
    groups = rows.select("day", "row.impression_id", "row.label")
    now, then = _sums(log), _sums(groups)
    return [day for day in some if now.get(day) != then.get(day)]


def _sums(labels: DataFrame) -> dict[str, delta.Fingerprint]:
    return delta.fingerprints(labels.withColumn("label", F.col("label").cast("int")))
