"""Stage 4: a day's impressions joined point-in-time with the snapshot before them -> `user_groups`, `ad_groups`.

Feast answers for each (user, moment) and each (ad, moment) once, not for each impression: between two publications
nothing becomes known, so every impression in between sees what the latest publication's moment sees. Codes are made
on those few rows, and only then joined to the impressions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StructType

from contracts.days import Days, day_start
from contracts.errors import MissingArtifact
from contracts.features import built
from contracts.report import StageReport
from contracts.settings import Settings
from contracts.tables import Table
from spark_jobs import delta, feast_store, relabelled
from spark_jobs.expressions import code_columns, context_values

STAGE = "4-groups"
AD_GROUP, USER_GROUP = 25, 500  # most impressions of a group
LOGGED = ("impression_id", "shown_at", "position", "label")
KEYS = {"user": "user_id", "ad": "ad_id"}
JUST_AFTER = timedelta(microseconds=1)  # the snapshot of two days before is then older than the view's ttl


def moments(spark: SparkSession, days: Days, settings: Settings) -> DataFrame:
    """day, seen, since, moment: from `since` on (until the day's next one) an impression sees what `moment` sees.

    `seen` numbers a day's moments. Without a publication delay a day has one; with one, what is shown in the delay
    still sees the snapshot before.
    """
    delay = timedelta(minutes=settings.publication_delay_minutes)
    rows = []
    for day in days:
        start, end = (day_start(d, settings.time_zone) for d in (day, day + timedelta(days=1)))
        rows.append((day.isoformat(), 0, start, start + JUST_AFTER))
        if timedelta(0) < delay < end - start:
            rows.append((day.isoformat(), 1, start + delay, start + delay + JUST_AFTER))
    return spark.createDataFrame(rows, "day string, seen int, since timestamp, moment timestamp")


def with_moment(impressions: DataFrame, known: DataFrame) -> DataFrame:
    """Impressions with `seen` and `moment`: the latest of their day whose `since` is not after them."""
    entry = F.struct("since", "seen", "moment")
    latest = known.groupBy("day").agg(F.sort_array(F.collect_list(entry), asc=False).alias("all"))
    past = F.filter("all", lambda one: one["since"] <= F.col("shown_at"))[0]
    joined = impressions.join(F.broadcast(latest), "day")
    return joined.withColumns({"seen": past["seen"], "moment": past["moment"]}).drop("all")


def persisted(frame: DataFrame, until: ExitStack) -> DataFrame:
    """The frame, computed once and kept until the stack closes."""
    until.callback(frame.unpersist)
    return frame.persist()


def point_in_time(
    spark: SparkSession,
    settings: Settings,
    impressions: DataFrame,
    side: str,
    columns: Sequence[str],
    until: ExitStack,
) -> DataFrame:
    """<key>, moment and the view's columns as Feast knows them at the moment; null where it knows none.

    Only rows published by then count (`created`), also of history that was built later.
    """
    key, view = KEYS[side], f"{side}_features"
    opened = feast_store.store(spark, settings)
    # Feast's query reads the entities five times: without this, the impressions as often.
    entities = persisted(impressions.select(key, F.col("moment").alias("event_timestamp")).distinct(), until)
    with feast_store.quiet():
        from feast.infra.offline_stores.contrib.spark_offline_store.spark import SparkRetrievalJob

        job = opened.get_historical_features(
            entity_df=entities,
            features=[f"{view}:{column}" for column in columns],
            filter_by_created_timestamp=True,
        )
        assert isinstance(job, SparkRetrievalJob)  # the yaml's offline store
        found = job.to_spark_df()
    spark.conf.set("spark.sql.parser.quotedRegexColumnNames", "false")
    return found.select(key, F.col("event_timestamp").alias("moment"), *columns)


def coded_side(
    spark: SparkSession, settings: Settings, impressions: DataFrame, side: str, until: ExitStack
) -> DataFrame:
    """<key>, moment, c_<feature> of the side (and the ad's image). An entity that is not known keeps its id's code."""
    key = KEYS[side]
    features = [f for f in built(settings) if f.side == side]
    beside = ["image"] if side == "ad" else []
    columns = [f.name for f in features if f.name != key] + beside
    values = point_in_time(spark, settings, impressions, side, columns, until)
    return values.select(key, "moment", *beside, *code_columns(features, side))


def coded(
    spark: SparkSession, settings: Settings, impressions: DataFrame, known: DataFrame, until: ExitStack
) -> DataFrame:
    """Impressions (day, seen, what was logged, both ids) with the codes of all three sides and the ad's image."""
    timed = with_moment(impressions, known)
    users = coded_side(spark, settings, timed, "user", until)
    ads = coded_side(spark, settings, timed, "ad", until)
    context = context_values(F.col("shown_at"), F.col("query"), settings.time_zone)
    joined = timed.join(users, ["user_id", "moment"], "left").join(ads, ["ad_id", "moment"], "left")
    features = built(settings)
    sides = [f"c_{f.name}" for f in features if f.side in ("user", "ad")]
    return joined.withColumns(context).select(
        "day", "seen", *LOGGED, "user_id", "ad_id", "image", *sides, *code_columns(features, "context")
    )


def grouped(rows: DataFrame, table: Table, key: str, size: int, order: Sequence[SparkColumn]) -> DataFrame:
    """Groups of at most `size` rows of one `key` and day, as few as possible, in `order` (which leaves no ties).

    Rows that saw different snapshots (`seen`) are never in one group: it holds the key's features once.
    """
    outer = [c.name for c in table.columns if c.name not in ("day", "group_id", "impressions")]
    inner = _inner_names(table)
    numbered = rows.withColumn("rank", F.row_number().over(Window.partitionBy("day", key, "seen").orderBy(*order)) - 1)
    numbered = numbered.withColumn("part", F.floor(F.col("rank") / size).cast("int"))
    entry = F.struct("rank", F.struct(*inner).alias("row"))
    lists = numbered.groupBy("day", key, "seen", "part").agg(
        F.sort_array(F.collect_list(entry)).alias("entries"),
        *[F.first(column).alias(column) for column in outer if column != key],
    )
    return lists.select(
        "day",
        F.concat_ws("#", key, "seen", "part").alias("group_id"),
        *outer,
        F.transform("entries", lambda one: one["row"]).alias("impressions"),
    )


def ad_groups(rows: DataFrame, settings: Settings) -> DataFrame:
    """At most 25 impressions of one ad, in an order that only the impressions' ids decide: a shuffle that repeats."""
    order = [F.xxhash64("impression_id"), F.col("impression_id")]
    return grouped(rows, delta.declaration("ad_groups", settings), "ad_id", AD_GROUP, order)


def user_groups(rows: DataFrame, settings: Settings) -> DataFrame:
    """A user's impressions of the day in the order shown, at most 500 a group."""
    order = [F.col("shown_at"), F.col("impression_id")]
    return grouped(rows, delta.declaration("user_groups", settings), "user_id", USER_GROUP, order)


def run(spark: SparkSession, settings: Settings, days: Days) -> StageReport:
    """Write the groups of every day of the interval that has a snapshot before it, and again those of the days before
    it whose labels late clicks have changed since.

    Raises MissingArtifact for a day that was not published, or whose day before was but has no snapshot.
    """
    began = time.monotonic()
    wanted, remarks = _days_with_snapshot(settings, days)
    if not wanted:
        return StageReport(stage=STAGE, day=days.texts()[-1], seconds=time.monotonic() - began, remarks=remarks)
    stale = relabelled.days_to_rebuild(spark, settings, days)
    if stale:
        remarks.append(f"groups of {', '.join(stale)} written again: late clicks changed labels")
    reach = days.widened(before=settings.lateness_days)
    impressions = delta.read(spark, settings, "impressions", stale + wanted)
    with ExitStack() as until:
        rows = persisted(coded(spark, settings, impressions, moments(spark, reach, settings), until), until)
        rows_in = rows.count()
        of_ads = delta.write_days(spark, settings, "ad_groups", ad_groups(rows, settings), stale + days.texts())
        of_users = delta.write_days(spark, settings, "user_groups", user_groups(rows, settings), stale + days.texts())
    return StageReport(
        stage=STAGE,
        day=days.texts()[-1],
        seconds=time.monotonic() - began,
        rows_in=rows_in,
        rows_out=of_ads.rows + of_users.rows,
        versions={"ad_groups": of_ads.version, "user_groups": of_users.version},
        counts={"ad_groups": of_ads.rows, "user_groups": of_users.rows},
        remarks=remarks,
    )


def _days_with_snapshot(settings: Settings, days: Days) -> tuple[list[str], list[str]]:
    """The days that can form groups, and a remark on the first folder's day, which cannot."""
    published = delta.built_days(settings, "impressions")
    absent = sorted(set(days.texts()) - published)
    if absent:
        raise MissingArtifact(
            f"table impressions holds no row of {', '.join(absent)}; run impressions and quality for the day first"
        )
    snapshots = delta.built_days(settings, "ad_features") & delta.built_days(settings, "user_features")
    wanted, remarks = [], []
    for day in days:
        before = (day - timedelta(days=1)).isoformat()
        if before in snapshots:
            wanted.append(day.isoformat())
        elif before in published:
            raise MissingArtifact(f"no snapshot of {before}, which the impressions of {day} see; run features for it")
        else:
            remarks.append(f"{day} has no day before it: no snapshot, so it forms no groups")
    return wanted, remarks


def _inner_names(table: Table) -> list[str]:
    """Fields of the table's `impressions` structs, in the declared order."""
    declared = StructType.fromDDL(table.ddl)
    assert isinstance(declared, StructType)
    listed = declared["impressions"].dataType
    assert isinstance(listed, ArrayType) and isinstance(listed.elementType, StructType)
    return listed.elementType.names
