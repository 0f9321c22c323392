"""Landed rows of erased persons are dropped before anything is made of them: counted, and kept nowhere.

Where nobody was erased this costs a look for the table, and no query.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts import erasures
from contracts.days import Days
from contracts.settings import LandingSettings, Settings
from contracts.tables import LANDING
from spark_jobs import delta, landing_reader
from spark_jobs.landing_reader import RAW, REASON

PERSONAL = tuple(name for name, columns in LANDING.items() if "user_id" in {one.name for one in columns})
CLICK = ("day", "impression_id", "clicked_at")
_BETWEEN_WORDS = r"""[\s"',:{}\[\]]+"""


def of_persons(clicks: DataFrame, theirs: DataFrame, others: DataFrame, settings: LandingSettings) -> DataFrame:
    """Keys (CLICK) of the clicks that belong to `theirs`: by time if it tells, else if no other impression claims them.

    An impression's id is unique within a business day only. `clicks` hold CLICK, `day` being the folder; `theirs` and
    `others` (impressions of the same ids) hold day, impression_id, shown_at.
    """
    window = F.make_interval(mins=F.lit(settings.attribution_window_minutes))
    shown = theirs.withColumn("hers", F.lit(True)).unionByName(others.withColumn("hers", F.lit(False)))
    met = clicks.alias("c").join(
        shown.select(F.col("day").alias("shown_on"), "impression_id", "shown_at", "hers"), "impression_id"
    )
    met = met.where(F.col("shown_on") <= F.col("day"))
    claimed = (F.col("clicked_at") >= F.col("shown_at")) & (F.col("clicked_at") <= F.col("shown_at") + window)
    judged = met.groupBy(*CLICK).agg(
        F.max(F.col("hers") & claimed).alias("by_time"),
        F.max("hers").alias("by_id"),
        F.max(~F.col("hers") & claimed).alias("of_another"),
    )
    return judged.where("by_time OR (by_id AND NOT of_another)").select(*CLICK)


def parted(
    spark: SparkSession, settings: Settings, raw: dict[str, DataFrame], days: Days
) -> tuple[dict[str, DataFrame], dict[str, DataFrame]]:
    """(what stays, what is dropped) of each landing file; nothing is dropped where nobody was erased.

    `raw`: frames of landing_reader.read. Of a row that cannot be read each word of the text is looked at.
    """
    if not delta.exists(settings, erasures.TABLE):
        return raw, {}
    persons = F.broadcast(delta.read(spark, settings, erasures.TABLE).select("person").distinct())
    stay, gone = dict(raw), {}
    for name in PERSONAL:
        stay[name], gone[name] = _parted(raw[name], persons)
    theirs, others = gone["impressions"], stay["impressions"]
    reach = days.widened(before=settings.lateness_days).texts()
    landed = landing_reader.landed_days(settings.landing_path)
    earlier = [day for day in landed if reach[0] <= day < days.start.isoformat()]
    columns = ("day", "impression_id", "shown_at")
    theirs, others = theirs.select(*columns), others.select(*columns)
    if earlier:
        before = _parted(landing_reader.read(spark, settings.landing_path, "impressions", earlier), persons)
        others = others.unionByName(before[0].select(*columns))
        theirs = theirs.unionByName(before[1].select(*columns))
    others = others.join(theirs.select("impression_id").distinct(), "impression_id", "left_semi")
    keys = of_persons(raw["clicks"].select(*CLICK), theirs, others, settings)
    stay["clicks"] = raw["clicks"].join(keys, list(CLICK), "left_anti")
    gone["clicks"] = raw["clicks"].join(keys, list(CLICK), "left_semi")
    return stay, gone


def counts(gone: Mapping[str, DataFrame]) -> dict[str, int]:
    """`erased_<file>` -> rows dropped; one query, and none where nobody was erased."""
    if not gone:
        return {}
    parts = [frame.select(F.lit(f"erased_{name}").alias("what")) for name, frame in gone.items()]
    together = reduce(DataFrame.unionByName, parts)
    return {row["what"]: row["count"] for row in together.groupBy("what").count().collect()}


def _parted(frame: DataFrame, persons: DataFrame) -> tuple[DataFrame, DataFrame]:
    """(others' rows, erased persons' rows): by the user, and where the row is not well formed by its words."""
    readable, broken = frame.where(F.col(REASON).isNull()), frame.where(F.col(REASON).isNotNull())
    hers = F.sha2("user_id", 256) == F.col("person")
    words = broken.select("day", RAW, F.explode(F.concat(F.split(RAW, _BETWEEN_WORDS), F.array("user_id"))).alias("w"))
    named = words.join(persons, F.sha2("w", 256) == F.col("person"), "left_semi").select("day", RAW).distinct()
    key = ["day", RAW]
    return (
        readable.join(persons, hers, "left_anti").unionByName(broken.join(named, key, "left_anti")),
        readable.join(persons, hers, "left_semi").unionByName(broken.join(named, key, "left_semi")),
    )
