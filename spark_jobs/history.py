"""What the look-back knows at each stamp: impressions and clicks, behaviours, files that an entity stood in.

Each is first made small (a row an entity and day), then all days of the interval are made together, by sums that slide
over an entity's days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial, reduce

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from contracts.days import Days
from contracts.feature import Feature
from contracts.settings import LandingSettings

PRIOR_ROWS, PRIOR_CTR = 10.0, 0.1  # smoothed CTR = (clicks + 10 * 0.1) / (impressions + 10)
ACTS = "acts"  # an entity's behaviours of a day, the newest first


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


def shown(impressions: DataFrame, entity: str) -> DataFrame:
    """day, <entity>, shown (bigint)."""
    return impressions.groupBy("day", entity).agg(F.count(F.lit(1)).alias("shown"))


def clicked_by(clicked: DataFrame, entity: str, days: Days, folders: int, lasts: Iterable[int]) -> DataFrame:
    """day, <entity>, and for each n of `lasts` clicked_<n> (bigint): of the impressions of the last n folders, those of
    which a click had landed. `clicked`: first_clicks. A few rows in a hundred: each is crossed with its snapshots."""
    counts = clicked.groupBy("day", entity, "landed").agg(F.count(F.lit(1)).alias("c"))
    sums = [
        F.sum(F.when(within(last, folders) & (F.col("landed") <= F.col("day")), F.col("c"))).alias(f"clicked_{last}")
        for last in sorted(set(lasts))
    ]
    return counted_for(counts, days, folders).groupBy("day", entity).agg(*sums)


def smoothed_ctr(shown: str, clicked: str) -> SparkColumn:
    """double from two columns of counts; null for what was never shown."""
    smoothed = (F.col(clicked) + PRIOR_ROWS * PRIOR_CTR) / (F.col(shown) + PRIOR_ROWS)
    return F.when(F.col(shown) > 0, smoothed.cast("double"))


def acts(behaviours: DataFrame, settings: LandingSettings) -> DataFrame:
    """day (the folder's), user_id, ad_id, kind, at. One that is dated after its folder's end (a rule of the landing
    check sets it aside, unless it is released or the rule ignored) would leak: it counts in no snapshot."""
    own = F.to_date(F.from_utc_timestamp("at", settings.time_zone)).cast("string")
    return behaviours.where(own <= F.col("day")).select("day", "user_id", "ad_id", "kind", "at")


def acted(features: Sequence[Feature]) -> dict[str, SparkColumn]:
    """Column `acted_<kind>` -> an aggregate (bigint) over acts, for features of the transform `acted`."""
    kinds = sorted({feature.transform.behaviour for feature in features})
    return {f"acted_{kind}": F.count_if(F.col("kind") == kind) if kind else F.count(F.lit(1)) for kind in kinds}


def newest(features: Sequence[Feature]) -> SparkColumn:
    """An aggregate `acts` over acts beside their ads: what features of the transform `recent` need of a user's day.

    The newest first, ties by ad_id; cut at the longest list.
    """
    columns = dict.fromkeys(feature.transform.of for feature in features if feature.transform.of != "ad_id")
    entry = F.struct((-F.unix_micros("at")).alias("newest"), "ad_id", *columns)
    longest = max(feature.limit for feature in features)
    return F.slice(F.sort_array(F.collect_list(entry)), 1, longest).alias(ACTS)


def recent(feature: Feature) -> SparkColumn:
    """The value of a feature of the transform `recent` from `acts_<n>` (`looked_back`). A behaviour on an ad that its
    folder's catalogue does not hold leaves none. Never an empty list: null then."""
    newest = F.slice(F.col(f"{ACTS}_{feature.transform.folders}"), 1, feature.limit)
    found = F.filter(F.transform(newest, lambda one: one[feature.transform.of]), lambda one: one.isNotNull())
    return F.when(F.size(found) > 0, found)


def looked_back(
    files: DataFrame, entity: str, parts: Sequence[DataFrame], days: Days, lasts: Mapping[str, set[int]]
) -> DataFrame:
    """The rows of `files` of `days` (unique by day and entity) beside what `parts` and the files themselves say of the
    entity: <column>_<n> for each n of `lasts[column]`, over the last n folders; other columns of its own day as are.

    `parts` hold day, <entity>, and columns of their own; sums are of numbers, `acts` are put in order. `listed` is 1 in
    each file. One shuffle by entity, and one sort, serve it all.
    """
    inside = F.col("day").between(days.start.isoformat(), (days.end - timedelta(days=1)).isoformat())
    own = files.select("day", entity, F.when(inside, F.struct("*")).alias("row"), F.lit(1).alias("listed"))
    together = reduce(partial(DataFrame.unionByName, allowMissingColumns=True), [own, *parts])
    dated = together.withColumn("day", F.unix_date(F.to_date("day"))).repartition(entity)
    told = [name for name in together.columns if name not in ("day", entity)]
    an_entity = dated.groupBy(entity, "day").agg(*(_of_a_day(name).alias(name) for name in told))

    def over(last: int) -> WindowSpec:
        return Window.partitionBy(entity).orderBy("day").rangeBetween(1 - last, 0)

    slid = {f"{name}_{last}": _over(name, over(last)) for name, those in lasts.items() for last in sorted(those)}
    beside = [name for name in told if name not in ("row", "listed", *lasts)]
    return an_entity.withColumns(slid).where("row IS NOT NULL").select("row.*", *beside, *slid)


def _of_a_day(name: str) -> SparkColumn:
    return F.first(name, ignorenulls=True) if name in ("row", ACTS) else F.coalesce(F.sum(name), F.lit(0))


def _over(name: str, window: WindowSpec) -> SparkColumn:
    if name == ACTS:
        return F.sort_array(F.flatten(F.collect_list(ACTS).over(window)))
    return F.sum(name).over(window)
