"""What the look-back knows at each stamp: impressions and clicks, behaviours, files that an entity stood in.

All days of the interval are made together: a row is first crossed with the days that it counts for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from contracts.days import Days
from contracts.feature import Feature
from contracts.settings import LandingSettings

PRIOR_ROWS, PRIOR_CTR = 10.0, 0.1  # smoothed CTR = (clicks + 10 * 0.1) / (impressions + 10)


def counted_for(frame: DataFrame, days: Days, folders: int) -> DataFrame:
    """Each row once for every snapshot X of the interval with X - folders < its `day` <= X; `folder` is the row's own.

    `frame` holds no row outside [start - folders + 1, end).
    """
    first, last = F.lit(days.start).cast("date"), F.lit(days.end - timedelta(days=1)).cast("date")
    own = F.to_date("folder")
    upto = F.least(F.date_add(own, folders - 1), last)
    targets = F.transform(F.sequence(F.greatest(own, first), upto), lambda one: one.cast("string"))
    return frame.withColumnRenamed("day", "folder").withColumn("day", F.explode(targets))


def within(last: int, folders: int) -> SparkColumn:
    """Of rows counted for `folders`: whether theirs is one of the `last` ones."""
    if last == folders:
        return F.lit(True)
    return F.date_diff(F.to_date("day"), F.to_date("folder")) < last


def first_clicks(impressions: DataFrame, clicks: DataFrame, few: bool, settings: LandingSettings) -> DataFrame:
    """The clicked impressions (day, user_id, ad_id) with `landed`: the first folder in which a valid click landed.

    Valid as for a label: inside the attribution window, landed within the lateness bound. Ids are unique within a
    business day only, so that also decides which day's impression was clicked. `few`: the clicks may be broadcast.
    """
    shown = impressions.select("day", "impression_id", "shown_at", "user_id", "ad_id")
    clicked = clicks.select(F.col("day").alias("landed_in"), "impression_id", "clicked_at")
    window = F.make_interval(mins=F.lit(settings.attribution_window_minutes))
    age = F.date_diff(F.to_date("landed_in"), F.to_date("day"))
    valid = (
        (F.col("clicked_at") >= F.col("shown_at"))
        & (F.col("clicked_at") <= F.col("shown_at") + window)
        & (age >= 0)
        & (age <= settings.lateness_days)
    )
    met = shown.join(F.broadcast(clicked) if few else clicked, "impression_id").where(valid)
    return met.groupBy("day", "impression_id").agg(
        F.first("user_id").alias("user_id"), F.first("ad_id").alias("ad_id"), F.min("landed_in").alias("landed")
    )


def shown_and_clicked(
    impressions: DataFrame, clicked: DataFrame, entity: str, days: Days, folders: int, lasts: Iterable[int]
) -> DataFrame:
    """day, <entity>, and for each n of `lasts` shown_<n> and clicked_<n> (bigint) of the last n folders."""
    rows, zero, never = F.count(F.lit(1)), F.lit(0).cast("long"), F.lit(None).cast("string")
    shown = impressions.groupBy("day", entity).agg(rows.alias("n"), zero.alias("c"), never.alias("landed"))
    clicks = clicked.groupBy("day", entity, "landed").agg(zero.alias("n"), rows.alias("c"))
    counts = shown.unionByName(clicks)  # a row an entity and day, nearly: small before the explosion
    sums = []
    for last in sorted(set(lasts)):
        inside = within(last, folders)
        landed = inside & (F.col("landed") <= F.col("day"))
        sums.append(F.sum(F.when(inside, F.col("n")).otherwise(0)).alias(f"shown_{last}"))
        sums.append(F.sum(F.when(landed, F.col("c")).otherwise(0)).alias(f"clicked_{last}"))
    return counted_for(counts, days, folders).groupBy("day", entity).agg(*sums)


def smoothed_ctr(shown: str, clicked: str) -> SparkColumn:
    """double from two columns of counts; null for what was never shown."""
    smoothed = (F.col(clicked) + PRIOR_ROWS * PRIOR_CTR) / (F.col(shown) + PRIOR_ROWS)
    return F.when(F.col(shown) > 0, smoothed.cast("double"))


def acts(behaviours: DataFrame, stamped: DataFrame, days: Days, folders: int) -> DataFrame:
    """day, folder, user_id, ad_id, kind, at: each behaviour once for every snapshot that knows it."""
    counted = counted_for(behaviours.select("day", "user_id", "ad_id", "kind", "at"), days, folders)
    known = counted.join(F.broadcast(stamped), "day").where(F.col("at") < F.col("event_timestamp"))
    return known.select("day", "folder", "user_id", "ad_id", "kind", "at")


def numbers_acted(features: Sequence[Feature], folders: int) -> list[SparkColumn]:
    """Aggregates `<feature>` (bigint) over acts, of features of the transform `acted`."""
    made = []
    for feature in features:
        meant = within(feature.transform.folders, folders)
        if feature.transform.behaviour:
            meant = meant & (F.col("kind") == feature.transform.behaviour)
        made.append(F.count_if(meant).alias(feature.name))
    return made


def recent(features: Sequence[Feature], folders: int) -> tuple[list[SparkColumn], list[SparkColumn]]:
    """(aggregates over acts joined with their ads, the features' values from them) of the transform `recent`.

    The last behaviours before the stamp, newest first, ties by ad_id. A value is the catalogue's of day X; a behaviour
    on an ad that X does not know, or without one, leaves none. Never an empty list: null then.
    """
    columns = list(dict.fromkeys(feature.transform.of for feature in features if feature.transform.of != "ad_id"))
    entry = F.struct((-F.unix_micros("at")).alias("newest"), "ad_id", *columns)
    limits: dict[int, int] = {}
    for feature in features:
        last = feature.transform.folders
        limits[last] = max(feature.limit, limits.get(last, 0))
    lists = [
        F.slice(F.sort_array(F.collect_list(F.when(within(last, folders), entry))), 1, limit).alias(f"last_{last}")
        for last, limit in limits.items()
    ]

    def value(feature: Feature) -> SparkColumn:
        newest = F.slice(F.col(f"last_{feature.transform.folders}"), 1, feature.limit)
        found = F.filter(F.transform(newest, lambda one: one[feature.transform.of]), lambda one: one.isNotNull())
        return F.when(F.size(found) > 0, found).alias(feature.name)

    return lists, [value(feature) for feature in features]


def listed(files: DataFrame, entity: str, days: Days, folders: int, lasts: Iterable[int]) -> DataFrame:
    """day, <entity>, listed_<n> (bigint): in how many of the last n folders' files it stood."""
    counts = [F.count_if(within(last, folders)).alias(f"listed_{last}") for last in sorted(set(lasts))]
    return counted_for(files.select("day", entity), days, folders).groupBy("day", entity).agg(*counts)
