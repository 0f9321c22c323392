"""Landing rows as stage 1 takes them: what landed, with the quarantined rows that a person has released put in their
place. Landing folders are never written; the table `released` holds the rows, by the folder in which they landed."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.settings import Settings
from spark_jobs import delta, landing_reader, quarantine
from spark_jobs.landing_reader import WAIVED

TABLE = "released"


def read(spark: SparkSession, settings: Settings, source: str, days: Sequence[str]) -> DataFrame:
    """As spark_jobs.landing_reader.read; where nothing was released, no further query."""
    landed = landing_reader.read(spark, settings.landing_path, source, days)
    with_releases = sorted(set(days) & delta.built_days(settings, TABLE))
    if not with_releases:
        return landed
    rows = delta.read(spark, settings, TABLE, with_releases).where(F.col("source") == source)
    return replaced(landed, rows, source)


def replaced(landed: DataFrame, rows: DataFrame, source: str) -> DataFrame:
    """`landed` without the rows' originals, and with the rows. `rows`: the table `released`, of one source."""
    originals = F.broadcast(rows.select("day", F.col("original").alias("_text")).distinct())
    rest = landed
    # A click that fits no impression is quarantined as AdLens writes it, whatever its line looked like.
    for text in (landing_reader.as_landed(source), quarantine.written(source)):
        rest = rest.withColumn("_text", text).join(originals, ["day", "_text"], "left_anti")
    rest = rest.select(*landed.columns)
    texts = rows.select("day", F.col("row").alias("value"), F.col("waived").alias(WAIVED))
    return rest.unionByName(landing_reader.read_texts(texts, source))
