"""What was set aside, and why: rows of the table `quarantine`, by landing folder.

Equal rows that landed several times are one row of the table with their number, `times`: a million broken lines that
are all the same make it no larger, and count for the day's share of rows set aside all the same.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from contracts.rules import Suite
from contracts.tables import LANDING, TABLES
from spark_jobs.cleaning import COPY
from spark_jobs.landing_reader import REASON, TIME_FORMAT, as_landed
from spark_jobs.slices import SLICE, Slices

SCHEMA = "day string, source string, reason string, row string, times long, rule string"
KEY = TABLES["quarantine"].key


def malformed(frame: DataFrame, suite: Suite) -> DataFrame:
    """The rows of one cleaned landing file that were refused."""
    source, rule = suite.table, undeclared()
    for one in reversed(suite.landed()):  # of two with the same words the first was asked first
        rule = F.when(F.col(REASON) == one.words, F.lit(one.name)).otherwise(rule)
    refused = frame.where(F.col(REASON).isNotNull() & ~F.col(COPY))
    reason, row = F.col(REASON).alias("reason"), as_landed(source).alias("row")
    return refused.select("day", F.lit(source).alias("source"), reason, row, once(), rule.alias("rule"))


def misfit_clicks(misfits: DataFrame) -> DataFrame:
    """Clicks that belong to no impression (spark_jobs.labels.misfits), as they would be written as JSON."""
    row = written("clicks").alias("row")
    return misfits.select(
        F.col("folder").alias("day"), F.lit("clicks").alias("source"), "reason", row, once(), undeclared()
    )


def written(source: str) -> Column:
    """A landing row's declared columns as JSON."""
    return F.to_json(F.struct(*(one.name for one in LANDING[source])), {"timestampFormat": TIME_FORMAT})


def pictures(ads: DataFrame) -> DataFrame:
    """A row per ad whose picture has a `_reason`."""
    row = F.to_json(F.struct("ad_id", "image")).alias("row")
    named = ads.where(F.col(REASON).isNotNull())
    reason = F.col(REASON).alias("reason")
    return named.select("day", F.lit("images").alias("source"), reason, row, once(), undeclared())


def once() -> Column:
    return F.lit(1).cast("long").alias("times")


def undeclared() -> Column:
    """The name of a rule that is in no suite."""
    return F.lit(None).cast("string").alias("rule")


def times() -> Column:
    """How many landed rows a row of the table stands for."""
    return F.coalesce("times", F.lit(1).cast("long"))


def all_of(slices: Slices, *parts: DataFrame) -> DataFrame:
    """One frame of them; a row that was refused several times for the same reason is there once, with their number."""
    dealt = slices.dealt(reduce(DataFrame.unionByName, parts), "row")
    return dealt.groupBy(SLICE, *KEY, "rule").agg(F.sum(times()).alias("times")).drop(SLICE)
