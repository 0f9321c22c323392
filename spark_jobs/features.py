"""Stage 3: the snapshots S(X) of users and ads, each a pure function of what landed in folders up to X.

S(X) reads catalogue and profiles of folder X, and of the 7 folders X-6 ... X the impressions, the clicks by the folder
they LANDED in (`impressions.label` knows of later ones), and the behaviours before its stamp. All days of the interval
are made in the same few joins: a row is first crossed with the days that it counts for.
"""

from __future__ import annotations

import time
from datetime import timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.days import Days, day_start
from contracts.errors import MissingArtifact
from contracts.features import BY_NAME
from contracts.report import StageReport
from contracts.settings import LandingSettings, Settings
from spark_jobs import delta
from spark_jobs.expressions import words

STAGE = "3-features"
FOLDERS = 7  # folders that a CTR and a history look back on
PRIOR_ROWS, PRIOR_CTR = 10.0, 0.1  # smoothed CTR = (clicks + 10 * 0.1) / (impressions + 10)


def stamps(spark: SparkSession, days: Days, settings: Settings) -> DataFrame:
    """day, event_timestamp (end of the day in the business time zone), created (when serving may know it)."""
    delay = timedelta(minutes=settings.publication_delay_minutes)
    ends = [(day, day_start(day + timedelta(days=1), settings.time_zone)) for day in days]
    rows = [(day.isoformat(), stamp, stamp + delay) for day, stamp in ends]
    return spark.createDataFrame(rows, "day string, event_timestamp timestamp, created timestamp")


def counted_for(frame: DataFrame, days: Days) -> DataFrame:
    """Each row once for every snapshot X of the interval with X-6 <= its `day` <= X; `folder` is the row's own day.

    `frame` holds no row outside [start - 6, end).
    """
    first, last = F.lit(days.start).cast("date"), F.lit(days.end - timedelta(days=1)).cast("date")
    own = F.to_date("folder")
    upto = F.least(F.date_add(own, FOLDERS - 1), last)
    targets = F.transform(F.sequence(F.greatest(own, first), upto), lambda one: one.cast("string"))
    return frame.withColumnRenamed("day", "folder").withColumn("day", F.explode(targets))


def first_clicks(impressions: DataFrame, clicks: DataFrame, settings: LandingSettings) -> DataFrame:
    """Impressions with `landed`: the first folder in which a valid click of it landed (null: none).

    Valid as for a label: inside the attribution window, landed within the lateness bound. Ids are unique within a
    business day only, so that also decides which day's impression was clicked.
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
    found = (
        shown.join(clicked, "impression_id")
        .where(valid)
        .groupBy("day", "impression_id")
        .agg(F.min("landed_in").alias("landed"))
    )
    return shown.join(found, ["day", "impression_id"], "left")


def smoothed_ctr(clicked: DataFrame, entity: str, days: Days, name: str) -> DataFrame:
    """day, <entity>, <name>: of the entities that were shown at least once in the 7 folders."""
    counts = clicked.groupBy("day", entity, "landed").agg(F.count(F.lit(1)).alias("n"))  # small before the explosion
    known = F.col("landed").isNotNull() & (F.col("landed") <= F.col("day"))
    clicks = F.sum(F.when(known, F.col("n")).otherwise(0))
    return (
        counted_for(counts, days)
        .groupBy("day", entity)
        .agg(((clicks + PRIOR_ROWS * PRIOR_CTR) / (F.sum("n") + PRIOR_ROWS)).cast("double").alias(name))
    )


def recent_categories(behaviours: DataFrame, ads: DataFrame, stamped: DataFrame, days: Days) -> DataFrame:
    """day, user_id, recent_categories: of the last 10 behaviours before the stamp, newest first, ties by ad_id.

    A category is that of catalogue X; a behaviour on an ad that X does not know, or without one, leaves none. Never
    an empty list: a user without any has no row.
    """
    limit = BY_NAME["recent_categories"].limit
    acted = counted_for(behaviours.select("day", "user_id", "ad_id", "at"), days)
    acted = acted.join(F.broadcast(stamped), "day").where(F.col("at") < F.col("event_timestamp"))
    placed = acted.join(ads.select("day", "ad_id", "category_id"), ["day", "ad_id"], "left")
    entry = F.struct((-F.unix_micros("at")).alias("newest"), "ad_id", "category_id")
    last = F.slice(F.sort_array(F.collect_list(entry)), 1, limit)
    lists = placed.groupBy("day", "user_id").agg(last.alias("last"))
    found = F.filter(F.transform("last", lambda one: one["category_id"]), lambda one: one.isNotNull())
    return lists.select("day", "user_id", found.alias("recent_categories")).where(F.size("recent_categories") > 0)


def ad_features(
    ads: DataFrame, clicked: DataFrame, stamped: DataFrame, days: Days, settings: Settings
) -> DataFrame:
    """Table `ad_features`: a row per ad of the day's catalogue."""
    return (
        ads.join(F.broadcast(stamped), "day")
        .join(smoothed_ctr(clicked, "ad_id", days, "ad_ctr_7d"), ["day", "ad_id"], "left")
        .withColumn("reviews", F.col("reviews").cast("double"))
        .withColumn("title_words", words(F.col("title"), BY_NAME["title_words"].limit))
        .select(*delta.declaration("ad_features", settings).names())
    )


def user_features(
    users: DataFrame, behaviours: DataFrame, ads: DataFrame, clicked: DataFrame, stamped: DataFrame, days: Days,
    settings: Settings,
) -> DataFrame:
    """Table `user_features`: a row per profile of the day."""
    return (
        users.join(F.broadcast(stamped), "day")
        .join(smoothed_ctr(clicked, "user_id", days, "user_ctr_7d"), ["day", "user_id"], "left")
        .join(recent_categories(behaviours, ads, stamped, days), ["day", "user_id"], "left")
        .select(*delta.declaration("user_features", settings).names())
    )


def run(spark: SparkSession, settings: Settings, days: Days) -> StageReport:
    """Write the snapshots of every day of the interval. Raises MissingArtifact for a day that was not published."""
    began = time.monotonic()
    wanted = days.texts()
    for table in ("impressions", "ads", "users"):
        absent = sorted(set(wanted) - delta.built_days(settings, table))
        if absent:
            raise MissingArtifact(
                f"table {table} holds no row of {', '.join(absent)}; run impressions and quality for the day first"
            )
    window = days.widened(before=FOLDERS - 1).texts()
    stamped = stamps(spark, days, settings)
    ads = delta.read(spark, settings, "ads", wanted)
    users = delta.read(spark, settings, "users", wanted)
    impressions = delta.read(spark, settings, "impressions", window)
    # A valid click lands on its impression's day or later, and in no folder after the last snapshot's.
    clicks = _log(spark, settings, "clicks", window)
    behaviours = _log(spark, settings, "behaviours", window)
    clicked = first_clicks(impressions, clicks, settings).persist()
    try:
        of_ads = delta.write_days(
            spark, settings, "ad_features", ad_features(ads, clicked, stamped, days, settings), wanted
        )
        made = user_features(users, behaviours, ads, clicked, stamped, days, settings)
        of_users = delta.write_days(spark, settings, "user_features", made, wanted)
        rows_in = clicked.count()
    finally:
        clicked.unpersist()
    return StageReport(
        stage=STAGE,
        day=wanted[-1],
        seconds=time.monotonic() - began,
        rows_in=rows_in,
        rows_out=of_ads.rows + of_users.rows,
        versions={"ad_features": of_ads.version, "user_features": of_users.version},
        counts={"ad_features": of_ads.rows, "user_features": of_users.rows},
    )


def _log(spark: SparkSession, settings: Settings, name: str, days: list[str]) -> DataFrame:
    """A log of the folders; an empty one where nothing ever landed (an empty clicks file is no fault)."""
    if delta.exists(settings, name):
        return delta.read(spark, settings, name, days)
    return spark.createDataFrame([], delta.declaration(name).ddl.replace(" NOT NULL", ""))
