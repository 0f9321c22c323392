"""Which click belongs to which impression (DESIGN, rule 1).

Frames: impressions hold `day` (business day), `impression_id`, `shown_at`, ...; clicks hold `folder`, `impression_id`,
`clicked_at`, `landed_at` and `early` (true: of a folder that is not ingested yet, usable for the day before it only).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from contracts.settings import LandingSettings
from spark_jobs.slices import SLICE, Slices

ORPHAN = "click without an impression"
BEFORE = "click before its impression"
OUTSIDE = "click outside the attribution window"
LATE = "click landed later than the lateness bound"
CLICK = ("folder", "clicked_at", "landed_at", "impression_id", "early")
CLICK_REASONS = (ORPHAN, BEFORE, OUTSIDE, LATE)  # depend on which days are built, so they are judged again


def with_clicks(
    impressions: DataFrame, clicks: DataFrame, slices: Slices | None, settings: LandingSettings
) -> DataFrame:
    """Impressions with `clicks`: an array of what was clicked on them, null where nothing was.

    An id is unique within a day only, so a click meets the impressions of its folder's day and of the days before it
    up to the lateness bound. Each entry has the click's columns, `valid` where it counts, and `after` where it is not
    before its impression. Both are dealt by id into `slices`; None: the clicks are few and may be broadcast.
    """
    if slices is None:
        joined = _met_broadcast(impressions, clicks, settings)
    else:
        joined = _met_dealt(impressions, clicks, slices, settings)

    def judged(click: SparkColumn) -> SparkColumn:
        valid = _in_window(click, settings) & (~click["early"] | _in_early_part(click, settings))
        after = click["clicked_at"] >= F.col("shown_at")
        return F.struct(*(click[name].alias(name) for name in CLICK), valid.alias("valid"), after.alias("after"))

    return joined.withColumn("clicks", F.transform("clicks", judged))


def _met_broadcast(impressions: DataFrame, clicks: DataFrame, settings: LandingSettings) -> DataFrame:
    met = clicks.groupBy("impression_id").agg(F.collect_list(F.struct(*CLICK)).alias("clicks"))

    def near(click: SparkColumn) -> SparkColumn:
        return F.date_diff(F.to_date(click["folder"]), F.to_date("day")).between(0, settings.lateness_days)

    joined = impressions.join(F.broadcast(met), "impression_id", "left")
    own = F.filter("clicks", near)
    return joined.withColumn("clicks", F.when(F.size(own) > 0, own))


def _met_dealt(impressions: DataFrame, clicks: DataFrame, slices: Slices, settings: LandingSettings) -> DataFrame:
    age = F.explode(F.sequence(F.lit(0), F.lit(settings.lateness_days)))
    own = F.date_sub(F.to_date("folder"), F.col("_age")).cast("string")
    aged = clicks.withColumn("_age", age).withColumn("day", own)
    first, last = slices.first, slices.first + timedelta(days=slices.days - 1)
    near = slices.dealt(aged.where(F.col("day").between(first.isoformat(), last.isoformat())), "impression_id")
    met = near.groupBy(SLICE, "day", "impression_id").agg(F.collect_list(F.struct(*CLICK)).alias("clicks"))
    dealt = slices.dealt(impressions, "impression_id")
    return dealt.join(met, [SLICE, "day", "impression_id"], "left").drop(SLICE)


def labelled(impressions: DataFrame) -> DataFrame:
    """Impressions with `label` and the earliest valid click's `clicked_at`; further clicks change nothing."""
    times = F.transform(F.filter("clicks", lambda one: one["valid"]), lambda one: one["clicked_at"])
    timed = impressions.withColumn("clicked_at", F.array_min(times)).drop("clicks")
    return timed.withColumn("label", F.col("clicked_at").isNotNull().cast("int"))


def misfits(
    clicks: DataFrame, impressions: DataFrame, built: Sequence[str], first_day: str, settings: LandingSettings
) -> DataFrame:
    """Ingested clicks that belong to no impression, with `reason`. A click whose impression's day may yet be built
    waits: it is in neither the labels nor here."""
    key = ["folder", "impression_id", "clicked_at", "landed_at"]
    pairs = impressions.select(F.inline("clicks")).where("NOT early")
    met = pairs.groupBy(*key).agg(F.max("valid").alias("valid"), F.max("after").alias("after"))
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


def _in_window(click: SparkColumn, settings: LandingSettings) -> SparkColumn:
    window = F.make_interval(mins=F.lit(settings.attribution_window_minutes))
    clicked, shown = click["clicked_at"], F.col("shown_at")
    return (clicked >= shown) & (clicked <= shown + window)


def _in_early_part(click: SparkColumn, settings: LandingSettings) -> SparkColumn:
    """Landed in the folder after the impression's, before the run of the impression's day started."""
    following = F.date_add(F.to_date("day"), 1)
    day_end = F.to_utc_timestamp(following.cast("timestamp"), settings.time_zone)
    wait = F.make_interval(mins=F.lit(settings.attribution_window_minutes + settings.grace_minutes))
    return (F.to_date(click["folder"]) == following) & (click["landed_at"] < day_end + wait)


def _local_day(moment: SparkColumn, settings: LandingSettings) -> SparkColumn:
    return F.to_date(F.from_utc_timestamp(moment, settings.time_zone))
