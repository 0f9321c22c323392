"""What was set aside, and why: rows of the table `quarantine`, by landing folder."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.tables import LANDING
from spark_jobs.cleaning import COPY
from spark_jobs.landing_reader import RAW, REASON, TIME_FORMAT

SCHEMA = "day string, source string, reason string, row string"


def malformed(frame: DataFrame, source: str) -> DataFrame:
    """The rows of one cleaned landing file that were refused."""
    refused = frame.where(F.col(REASON).isNotNull() & ~F.col(COPY))
    return refused.select("day", F.lit(source).alias("source"), F.col(REASON).alias("reason"), F.col(RAW).alias("row"))


def misfit_clicks(misfits: DataFrame) -> DataFrame:
    """Clicks that belong to no impression (spark_jobs.labels.misfits), as they would be written as JSON."""
    row = written("clicks").alias("row")
    return misfits.select(F.col("folder").alias("day"), F.lit("clicks").alias("source"), "reason", row)


def written(source: str) -> Column:
    """A landing row's declared columns as JSON."""
    return F.to_json(F.struct(*(one.name for one in LANDING[source])), {"timestampFormat": TIME_FORMAT})


def pictures(spark: SparkSession, ads: list[tuple[str, str, str]], unusable: Mapping[str, str]) -> DataFrame:
    """A row per ad whose picture cannot be used. `ads`: (day, ad_id, image)."""
    rows = [
        (day, "images", unusable[image], json.dumps({"ad_id": ad, "image": image}))
        for day, ad, image in ads
        if image in unusable
    ]
    return spark.createDataFrame(rows, SCHEMA)


def all_of(*parts: DataFrame) -> DataFrame:
    """One frame of them; a row that was refused twice for the same reason is there once."""
    frame = parts[0]
    for part in parts[1:]:
        frame = frame.unionByName(part)
    return frame.distinct()
