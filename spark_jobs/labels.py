"""Which click belongs to which impression (DESIGN, rule 1).

Frames: impressions hold `day` (business day), `impression_id`, `shown_at`, ...; clicks hold `folder`, `impression_id`,
`clicked_at`, `landed_at` and `early` (true: of a folder that is not ingested yet, usable for the day before it only).
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from contracts.settings import LandingSettings

ORPHAN = "click without an impression"
BEFORE = "click before its impression"
OUTSIDE = "click outside the attribution window"
LATE = "click landed later than the lateness bound"
CLICK_REASONS = (ORPHAN, BEFORE, OUTSIDE, LATE)  # depend on which days are built, so they are judged again


def pairs(impressions: DataFrame, clicks: DataFrame, settings: LandingSettings) -> DataFrame:
    """A row per impression and click of one id, `valid` where the click counts. An id is unique within a day only, so a
    click meets the impressions of its folder's day and of the days before it up to the lateness bound."""
    left = impressions.select("day", "impression_id", "shown_at")
    age = F.date_diff(F.to_date("folder"), F.to_date("day"))
    joined = left.join(clicks, "impression_id").where((age >= 0) & (age <= settings.lateness_days))
    return joined.withColumn("valid", _in_window(settings) & (~F.col("early") | _in_early_part(settings)))


def labelled(impressions: DataFrame, paired: DataFrame) -> DataFrame:
    """Impressions with `label` and the earliest valid click's `clicked_at`; further clicks change nothing."""
    first = paired.where("valid").groupBy("day", "impression_id").agg(F.min("clicked_at").alias("clicked_at"))
    bare = impressions.drop("label", "clicked_at")
    joined = bare.join(first, ["day", "impression_id"], "left")
    return joined.withColumn("label", F.col("clicked_at").isNotNull().cast("int"))


def misfits(
    clicks: DataFrame, paired: DataFrame, built: Sequence[str], first_day: str, settings: LandingSettings
) -> DataFrame:
    """Ingested clicks that belong to no impression, with `reason`. A click whose impression's day may yet be built
    waits: it is in neither the labels nor here."""
    key = ["folder", "impression_id", "clicked_at", "landed_at"]
    met = (
        paired.where("NOT early")
        .groupBy(*key)
        .agg(F.max("valid").alias("valid"), F.max(F.col("clicked_at") >= F.col("shown_at")).alias("after"))
    )
    window = F.make_interval(mins=F.lit(settings.attribution_window_minutes))
    earliest = _local_day(F.col("clicked_at") - window, settings)
    latest = _local_day(F.col("clicked_at"), settings)
    oldest = F.date_sub(F.to_date("folder"), settings.lateness_days)
    waits = F.lit(False)
    for day in (earliest, latest):
        in_reach = (day >= oldest) & (day <= F.to_date("folder")) & (day >= F.lit(first_day).cast("date"))
        waits = waits | (in_reach & ~F.date_format(day, "yyyy-MM-dd").isin(list(built)))
    reason = (
        F.when(F.col("after").isNull() & (latest < oldest), F.lit(LATE))
        .when(F.col("after").isNull(), F.lit(ORPHAN))
        .when(F.col("after"), F.lit(OUTSIDE))
        .otherwise(F.lit(BEFORE))
    )
    joined = clicks.where("NOT early").join(met, key, "left")
    return joined.where(~F.coalesce("valid", F.lit(False)) & ~waits).withColumn("reason", reason)


def _in_window(settings: LandingSettings) -> SparkColumn:
    window = F.make_interval(mins=F.lit(settings.attribution_window_minutes))
    clicked, shown = F.col("clicked_at"), F.col("shown_at")
    return (clicked >= shown) & (clicked <= shown + window)


def _in_early_part(settings: LandingSettings) -> SparkColumn:
    """Landed in the folder after the impression's, before the run of the impression's day started."""
    following = F.date_add(F.to_date("day"), 1)
    day_end = F.to_utc_timestamp(following.cast("timestamp"), settings.time_zone)
    wait = F.make_interval(mins=F.lit(settings.attribution_window_minutes + settings.grace_minutes))
    return (F.to_date("folder") == following) & (F.col("landed_at") < day_end + wait)


def _local_day(moment: SparkColumn, settings: LandingSettings) -> SparkColumn:
    return F.to_date(F.from_utc_timestamp(moment, settings.time_zone))
