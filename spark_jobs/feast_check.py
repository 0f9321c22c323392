"""The day's proof that Feast, the jobs and the online store say the same, on a seeded sample of the day's entities.

Training's join is our own, an equi-join on the day before, because Feast's general one costs several times as much.
So that it stays Feast's answer, `training` asks both. `serving` reads the online store as the predictor does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.days import day_start
from contracts.errors import QualityStop
from contracts.settings import Settings
from spark_jobs import delta, feast_store, point_in_time, snapshot_rows
from spark_jobs.point_in_time import KEYS
from spark_jobs.small_frames import small_frame

if TYPE_CHECKING:
    from feast import FeatureStore

SAMPLE = 200  # entities of each side
Sample = Mapping[str, Sequence[str]]


def sample(spark: SparkSession, settings: Settings, day: date) -> Sample:
    """Side -> ids of the day's impressions, chosen by a hash of the id and the seed; a day without any has no side. One
    query a side."""
    impressions = delta.read(spark, settings, "impressions", [day.isoformat()])

    def ids(key: str) -> list[str]:
        chosen = impressions.select(key).distinct().orderBy(F.xxhash64(key, F.lit(settings.seed)), key).limit(SAMPLE)
        return [row[key] for row in chosen.collect()]

    return {side: found for side, key in KEYS.items() if (found := ids(key))}


def columns(settings: Settings, side: str) -> list[str]:
    """The view's features: all columns of the table that are values."""
    beside = ("day", "event_timestamp", "created", KEYS[side])
    return [name for name in delta.declaration(f"{side}_features", settings).names() if name not in beside]


def by_feast(spark: SparkSession, opened: FeatureStore, rows: DataFrame, side: str, wanted: Sequence[str]) -> DataFrame:
    """<key>, moment and the view's columns as Feast knows them at the moment; null where it knows none.

    Only rows published by then count (`created`), also of history that was built later.
    """
    key = KEYS[side]
    with feast_store.quiet():
        from feast.infra.offline_stores.contrib.spark_offline_store.spark import SparkRetrievalJob

        job = opened.get_historical_features(
            entity_df=rows.select(key, F.col("moment").alias("event_timestamp")),
            features=[f"{side}_features:{column}" for column in wanted],
            filter_by_created_timestamp=True,
        )
        assert isinstance(job, SparkRetrievalJob)  # the yaml's offline store
        found = job.to_spark_df()
    spark.conf.set("spark.sql.parser.quotedRegexColumnNames", "false")
    return found.select(key, F.col("event_timestamp").alias("moment"), *wanted)


def training(spark: SparkSession, settings: Settings, opened: FeatureStore, day: date, chosen: Sample) -> str:
    """The values that impressions of the day see, by our join and by Feast's. One query a side.

    Returns a remark for a person; raises QualityStop for any difference.
    """
    length = day_start(day, settings.time_zone) - day_start(day - timedelta(days=1), settings.time_zone)
    if length != timedelta(days=1):  # Feast would see a snapshot too many or too few
        return f"the day before {day} has {length} hours, Feast's ttl always 24: the joins were not compared"
    before = (day - timedelta(days=1)).isoformat()
    if any(before not in delta.built_days(settings, view) for view in feast_store.VIEWS):
        return f"no snapshot of {before}: the joins were not compared"
    moments = [one.moment for one in point_in_time.moments([day.isoformat()], settings)]
    for side, ids in chosen.items():
        key, wanted = KEYS[side], columns(settings, side)
        asked = [(one, moment) for one in ids for moment in moments]
        rows = small_frame(spark, asked, f"{key} string, moment timestamp")
        theirs = by_feast(spark, opened, rows, side, wanted)
        ours = point_in_time.known(spark, settings, rows, side, wanted).select(key, "moment", *wanted)
        _compare_joins(ours, theirs, side, wanted, len(asked), day)
    return f"{_numbers(chosen)}: our point-in-time join and Feast's are equal"


def serving(settings: Settings, opened: FeatureStore, day: date, chosen: Sample) -> None:
    """What the online store answers, against S(day). Raises QualityStop for any difference."""
    stamp = day_start(day + timedelta(days=1), settings.time_zone).timestamp()
    for side, ids in chosen.items():
        key, view = KEYS[side], f"{side}_features"
        held = snapshot_rows.of_keys(settings, view, day, key, ids)
        with feast_store.quiet():
            answer: dict[str, list[Any]] = opened.get_online_features(
                features=[f"{view}:{name}" for name in columns(settings, side)], entity_rows=[{key: one} for one in ids]
            ).to_dict(include_event_timestamps=True)
        for name in columns(settings, side):
            fresh = [at >= stamp for at in answer[f"{name}__ts"]]
            found = [value if new else None for value, new in zip(answer[name], fresh, strict=True)]
            wanted = [held.get(one, {}).get(name) for one in ids]
            wrong = [n for n in range(len(ids)) if _plain(found[n]) != _plain(wanted[n])]
            if wrong:
                first = wrong[0]
                raise QualityStop(
                    f"view {view}, feature {name}: {len(wrong)} of {len(ids)} entities of {day} are served otherwise "
                    f"than the snapshot says, for example {key} {ids[first]}: online {found[first]!r}, "
                    f"snapshot {wanted[first]!r}; {day} is not named as served. Run materialise for it again"
                )


def _compare_joins(ours: DataFrame, theirs: DataFrame, side: str, wanted: Sequence[str], asked: int, day: date) -> None:
    key, keys = KEYS[side], [KEYS[side], "moment"]
    left = theirs.select(*keys, *[F.col(name).alias(f"feast_{name}") for name in wanted])
    right = ours.select(*keys, *[F.col(name).alias(f"ours_{name}") for name in wanted])
    found = [F.count(F.lit(1)).alias("rows")]
    for name in wanted:
        differs = ~F.col(f"feast_{name}").eqNullSafe(F.col(f"ours_{name}"))
        shown = F.to_json(F.struct(*keys, F.col(f"feast_{name}").alias("feast"), F.col(f"ours_{name}").alias("ours")))
        found.append(F.struct(F.count_if(differs).alias("n"), F.min(F.when(differs, shown)).alias("one")).alias(name))
    (row,) = left.join(right, keys, "full").agg(*found).collect()
    if row["rows"] != asked:
        raise QualityStop(f"view {side}_features on {day}: the joins gave {row['rows']} rows for {asked} questions")
    for name in wanted:
        if row[name]["n"]:
            one = json.loads(row[name]["one"])
            raise QualityStop(
                f"view {side}_features, feature {name}: {row[name]['n']} of {asked} entities of {day} get another "
                f"value by our join than by Feast's, for example {key} {one[key]} at {one['moment']}: "
                f"ours {one.get('ours')!r}, Feast's {one.get('feast')!r}; spark_jobs/point_in_time.py and the "
                f"definitions must say the same"
            )


def _numbers(chosen: Sample) -> str:
    return " and ".join(f"{len(ids)} {side}s" for side, ids in chosen.items()) or "no impressions"


def _plain(value: Any) -> Any:
    """Feast's stores tell neither an empty list nor NaN from null; codes do not either."""
    if value == [] or (isinstance(value, float) and math.isnan(value)):
        return None
    return value
