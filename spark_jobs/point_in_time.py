"""Which snapshot an impression sees (DESIGN, rule 3), and the join that gives it what it sees.

Snapshots are daily, so "the latest row that was published by then" is the row of one known day: an equi-join on entity
and day. Feast's generic join costs two and a half times as much (benchmarks/point_in_time.py); a daily check keeps the
two equal (spark_jobs/feast_check.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.days import Days, day_start
from contracts.settings import LandingSettings, Settings
from spark_jobs import delta
from spark_jobs.small_frames import small_frame

KEYS = {"user": "user_id", "ad": "ad_id"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JUST_AFTER = timedelta(microseconds=1)  # for Feast, the snapshot of two days before is then older than the view's ttl


@dataclass(frozen=True)
class Moment:
    """Impressions of `day` from `since` on (until its next moment) see what is known at `moment`.

    `seen` numbers a day's moments.
    """

    day: str
    seen: int
    since: datetime
    moment: datetime


def moments(days: Iterable[str], settings: LandingSettings) -> list[Moment]:
    """Without a publication delay a day has one moment; with one, what is shown in the delay still sees the snapshot
    before."""
    delay = timedelta(minutes=settings.publication_delay_minutes)
    found = []
    for text in days:
        (day,) = Days.parse(text)
        start, end = (day_start(d, settings.time_zone) for d in (day, day + timedelta(days=1)))
        found.append(Moment(text, 0, start, start + JUST_AFTER))
        if timedelta(0) < delay < end - start:
            found.append(Moment(text, 1, start + delay, start + delay + JUST_AFTER))
    return found


def snapshot_day(moment: datetime, settings: LandingSettings) -> str:
    """The business day X whose snapshot S(X), stamped at its end, is the latest that was published by `moment`."""
    published = moment - timedelta(minutes=settings.publication_delay_minutes)
    return (published.astimezone(ZoneInfo(settings.time_zone)).date() - timedelta(days=1)).isoformat()


def with_moment(spark: SparkSession, impressions: DataFrame, at: Sequence[Moment]) -> DataFrame:
    """Impressions with `seen`: the latest moment of their day whose `since` is not after them."""
    if len({one.day for one in at}) == len(at):
        return impressions.withColumn("seen", F.lit(0))
    since = small_frame(spark, [(one.day, one.since) for one in at if one.seen], "day string, since timestamp")
    joined = impressions.join(F.broadcast(since), "day", "left")
    return joined.withColumn("seen", F.coalesce(F.col("shown_at") >= F.col("since"), F.lit(False)).cast("int"))


def visible(
    spark: SparkSession, settings: Settings, side: str, at: Sequence[Moment], columns: Sequence[str]
) -> DataFrame:
    """day, seen, <key>, *columns: for each moment, every row of the side's snapshots that is known then.

    A row whose `created` is later is not known, whatever its stamp says. Reads the partitions of these snapshots only.
    """
    pairs = [(snapshot_day(one.moment, settings), one.day, one.seen, one.moment) for one in at]
    rows = delta.read(spark, settings, f"{side}_features", sorted({pair[0] for pair in pairs}))
    asked = small_frame(spark, pairs, "snapshot string, day string, seen int, moment timestamp")
    known = rows.withColumnRenamed("day", "snapshot").join(F.broadcast(asked), "snapshot")
    return known.where("created <= moment").select("day", "seen", KEYS[side], *columns)


def known(
    spark: SparkSession, settings: Settings, rows: DataFrame, side: str, columns: Sequence[str]
) -> DataFrame:
    """<key>, moment, *columns of `rows` (<key>, moment); null where nothing is known. Of few distinct moments."""
    key = KEYS[side]
    found = sorted(row["m"] for row in rows.select(F.unix_micros("moment").alias("m")).distinct().collect())
    at = [Moment(str(n), 0, when, when) for n, m in enumerate(found) for when in [EPOCH + timedelta(microseconds=m)]]
    numbered = small_frame(spark, [(one.day, one.moment) for one in at], "day string, moment timestamp")
    seen = visible(spark, settings, side, at, columns).drop("seen")
    asked = rows.select(key, "moment").join(F.broadcast(numbered), "moment")
    return asked.join(seen, ["day", key], "left").drop("day").select(key, "moment", *columns)
