"""Well-formed or not, copy or not: the rules for each landing file.

Every function returns the frame it was given with `_reason` (null: the row stays) and `_copy` (true: dropped, counted).
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from contracts.tables import BEHAVIOUR_KINDS, LANDING
from spark_jobs.landing_reader import REASON, first_reason, required
from spark_jobs.slices import SLICE, Slices

COPY, KNOWN = "_copy", "_known"
OTHER_DAY = "shown_at is not in the folder's business day"
UNKNOWN_AD = "ad is in neither the day's catalogue nor the day before's"
SAME_ID = "another row has the same id and came first"


def business_day(column: str, time_zone: str) -> F.Column:
    """The day, as text, in which a UTC time lies."""
    return F.date_format(F.from_utc_timestamp(column, time_zone), "yyyy-MM-dd")


def kept(frame: DataFrame, source: str) -> DataFrame:
    """`day` and the declared columns of the rows that stay."""
    return frame.where(F.col(REASON).isNull() & ~F.col(COPY)).select("day", *(c.name for c in LANDING[source]))


def impressions(frame: DataFrame, time_zone: str, ads: DataFrame, small: bool) -> DataFrame:
    """What can be told from a row and the catalogues; `impressions_once` follows.

    `ads`: the catalogues of the days and of the day before the first; `small`: they may be broadcast.
    """
    following = F.date_format(F.date_add(F.to_date("day"), 1), "yyyy-MM-dd").alias("day")
    known = ads.select("day", "ad_id").union(ads.select(following, "ad_id")).distinct().withColumn(KNOWN, F.lit(True))
    frame = _judged(frame, "impressions", (business_day("shown_at", time_zone) != F.col("day"), OTHER_DAY))
    return frame.join(F.broadcast(known) if small else known, ["day", "ad_id"], "left")


def impressions_once(frame: DataFrame, slices: Slices) -> DataFrame:
    """Of equal ids in a day the earliest stays; then the ad must be known."""
    rest = ("shown_at", "user_id", "ad_id", "position", "query")
    frame = _unique(frame, ("impression_id",), rest, SAME_ID, slices)
    unknown = F.col(REASON).isNull() & ~F.col(COPY) & F.col(KNOWN).isNull()
    return frame.withColumn(REASON, F.when(unknown, F.lit(UNKNOWN_AD)).otherwise(F.col(REASON))).drop(KNOWN)


def clicks(frame: DataFrame, slices: Slices) -> DataFrame:
    """The same click logged twice counts once, from when it first landed."""
    return _unique(_judged(frame, "clicks"), ("impression_id", "clicked_at"), ("landed_at",), None, slices)


def behaviours(frame: DataFrame, slices: Slices) -> DataFrame:
    kinds = ", ".join(BEHAVIOUR_KINDS)
    frame = _judged(frame, "behaviours", (~F.col("kind").isin(*BEHAVIOUR_KINDS), f"kind is none of {kinds}"))
    return _unique(frame, ("user_id", "ad_id", "kind", "at"), (), None, slices)


def entities(frame: DataFrame, source: str, key: str, slices: Slices) -> DataFrame:
    """Ads or users: one row an id; which of two different rows stays depends on their content only."""
    rest = [one.name for one in LANDING[source] if one.name != key]
    return _unique(_judged(frame, source), (key,), rest, SAME_ID, slices)


def _judged(frame: DataFrame, source: str, *rules: tuple[F.Column, str]) -> DataFrame:
    return frame.withColumn(REASON, F.coalesce(F.col(REASON), first_reason(*required(source), *rules)))


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
