"""Well-formed or not, copy or not: each landing file against its declared rules (contracts/rules.py) and its key.

Every function returns the frame it was given with `_reason` (null: the row stays) and `_copy` (true: dropped, counted).
A released row names in `_waived` the reason that shall not count against it.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from contracts.rules import Suite
from contracts.settings import LandingSettings
from contracts.tables import LANDING
from spark_jobs import predicates
from spark_jobs.landing_reader import REASON, WAIVED, first_reason, required
from spark_jobs.slices import SLICE, Slices

COPY, KNOWN = "_copy", "_known"
UNKNOWN_AD = "ad is in neither the day's catalogue nor the day before's"
SAME_ID = "another row has the same id and came first"


def kept(frame: DataFrame, source: str) -> DataFrame:
    """`day` and the declared columns of the rows that stay."""
    return frame.where(F.col(REASON).isNull() & ~F.col(COPY)).select("day", *(c.name for c in LANDING[source]))


def impressions(
    frame: DataFrame, ads: DataFrame, small: bool, suite: Suite, settings: LandingSettings
) -> DataFrame:
    """What can be told from a row and the catalogues; `impressions_once` follows.

    `ads`: the catalogues of the days and of the day before the first; `small`: they may be broadcast.
    """
    following = F.date_format(F.date_add(F.to_date("day"), 1), "yyyy-MM-dd").alias("day")
    known = ads.select("day", "ad_id").union(ads.select(following, "ad_id")).distinct().withColumn(KNOWN, F.lit(True))
    frame = _judged(frame, suite, settings)
    return frame.join(F.broadcast(known) if small else known, ["day", "ad_id"], "left")


def impressions_once(frame: DataFrame, slices: Slices) -> DataFrame:
    """Of equal ids in a day the earliest stays; then the ad must be known."""
    rest = ("shown_at", "user_id", "ad_id", "position", "query")
    frame = _unique(frame, ("impression_id",), rest, SAME_ID, slices)
    unknown = F.col(REASON).isNull() & ~F.col(COPY) & F.col(KNOWN).isNull()
    return frame.withColumn(REASON, F.when(unknown, F.lit(UNKNOWN_AD)).otherwise(F.col(REASON))).drop(KNOWN)


def clicks(frame: DataFrame, slices: Slices, suite: Suite, settings: LandingSettings) -> DataFrame:
    """The same click logged twice counts once, from when it first landed."""
    judged = _judged(frame, suite, settings)
    return _unique(judged, ("impression_id", "clicked_at"), ("landed_at",), None, slices)


def behaviours(frame: DataFrame, slices: Slices, suite: Suite, settings: LandingSettings) -> DataFrame:
    return _unique(_judged(frame, suite, settings), ("user_id", "ad_id", "kind", "at"), (), None, slices)


def entities(frame: DataFrame, slices: Slices, suite: Suite, settings: LandingSettings, key: str) -> DataFrame:
    """Ads or users: one row an id; which of two different rows stays depends on their content only."""
    rest = [one.name for one in LANDING[suite.table] if one.name != key]
    return _unique(_judged(frame, suite, settings), (key,), rest, SAME_ID, slices)


def _judged(frame: DataFrame, suite: Suite, settings: LandingSettings) -> DataFrame:
    predicates.check_sql(frame, suite, "quarantine")
    declared = []
    for rule in suite.landed():
        waived = F.col(WAIVED).eqNullSafe(F.lit(rule.words))
        declared.append((predicates.broken(rule, settings) & ~waived, rule.words))
    return frame.withColumn(REASON, F.coalesce(F.col(REASON), first_reason(*required(suite.table), *declared)))


def _unique(
    frame: DataFrame, key: Sequence[str], rest: Sequence[str], other: str | None, slices: Slices
) -> DataFrame:
    """Of the good rows with equal `key` the first by `rest` stays; the rows lie in slices of the key.

    Exact copies are marked `_copy`; rows that differ get the reason `other`, or are copies too where that is None.
    """
    frame = slices.dealt(frame.withColumn("_good", F.col(REASON).isNull()), *key)
    order = Window.partitionBy(SLICE, "day", *key, "_good").orderBy(*(F.col(name) for name in rest or key))
    content = F.struct(*rest) if rest else F.lit(1)
    frame = frame.withColumns(
        {"_n": F.row_number().over(order), "_same": content.eqNullSafe(F.lag(content).over(order))}
    )
    later = F.col("_good") & (F.col("_n") > 1)
    copy = later if other is None else later & F.col("_same")
    reason = F.col(REASON) if other is None else F.when(later & ~F.col("_same"), F.lit(other)).otherwise(F.col(REASON))
    return frame.withColumns({COPY: copy, REASON: reason}).drop("_good", "_n", "_same")
