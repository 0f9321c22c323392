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

COPY = "_copy"
UNKNOWN_AD = "ad is in neither the day's catalogue nor the day before's"
SAME_ID = "another row has the same id and came first"


def kept(frame: DataFrame, source: str) -> DataFrame:
    """`day` and the declared columns of the rows that stay."""
    return frame.where(F.col(REASON).isNull() & ~F.col(COPY)).select("day", *(c.name for c in LANDING[source]))


def impressions(frame: DataFrame, ads: DataFrame, suite: Suite, settings: LandingSettings) -> DataFrame:
    """Of equal ids in a day the earliest stays; then the ad must be known. `ads`: catalogues, the day before too."""
    frame = _judged(frame, suite, settings)
    frame = _unique(frame, ("impression_id",), ("shown_at", "user_id", "ad_id", "position", "query"), SAME_ID)
    following = F.date_format(F.date_add(F.to_date("day"), 1), "yyyy-MM-dd").alias("day")
    known = ads.select("day", "ad_id").union(ads.select(following, "ad_id")).distinct().withColumn("_known", F.lit(1))
    frame = frame.join(known, ["day", "ad_id"], "left")
    unknown = F.col(REASON).isNull() & ~F.col(COPY) & F.col("_known").isNull()
    return frame.withColumn(REASON, F.when(unknown, F.lit(UNKNOWN_AD)).otherwise(F.col(REASON))).drop("_known")


def clicks(frame: DataFrame, suite: Suite, settings: LandingSettings) -> DataFrame:
    """The same click logged twice counts once, from when it first landed."""
    return _unique(_judged(frame, suite, settings), ("impression_id", "clicked_at"), ("landed_at",), None)


def behaviours(frame: DataFrame, suite: Suite, settings: LandingSettings) -> DataFrame:
    return _unique(_judged(frame, suite, settings), ("user_id", "ad_id", "kind", "at"), (), None)


def entities(frame: DataFrame, suite: Suite, settings: LandingSettings, key: str) -> DataFrame:
    """Ads or users: one row an id; which of two different rows stays depends on their content only."""
    rest = [one.name for one in LANDING[suite.table] if one.name != key]
    return _unique(_judged(frame, suite, settings), (key,), rest, SAME_ID)


def _judged(frame: DataFrame, suite: Suite, settings: LandingSettings) -> DataFrame:
    predicates.check_sql(frame, suite, "quarantine")
    declared = []
    for rule in suite.landed():
        waived = F.col(WAIVED).eqNullSafe(F.lit(rule.words))
        declared.append((predicates.broken(rule, settings) & ~waived, rule.words))
    return frame.withColumn(REASON, F.coalesce(F.col(REASON), first_reason(*required(suite.table), *declared)))


def _unique(frame: DataFrame, key: Sequence[str], rest: Sequence[str], other: str | None) -> DataFrame:
    """Of the good rows with equal `key` the first by `rest` stays.

    Exact copies are marked `_copy`; rows that differ get the reason `other`, or are copies too where that is None.
    """
    frame = frame.withColumn("_good", F.col(REASON).isNull())
    order = Window.partitionBy("day", "_good", *key).orderBy(*(F.col(name) for name in rest or key))
    content = F.struct(*rest) if rest else F.lit(1)
    frame = frame.withColumns(
        {"_n": F.row_number().over(order), "_same": content.eqNullSafe(F.lag(content).over(order))}
    )
    later = F.col("_good") & (F.col("_n") > 1)
    copy = later if other is None else later & F.col("_same")
    reason = F.col(REASON) if other is None else F.when(later & ~F.col("_same"), F.lit(other)).otherwise(F.col(REASON))
    return frame.withColumns({COPY: copy, REASON: reason}).drop("_good", "_n", "_same")
