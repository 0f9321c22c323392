"""What is followed of a day's snapshots: how many rows, and of each built feature who has no value and how the values
are spread. One Spark query; the driver gets a few hundred numbers a day, whatever the day's size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.derived import SNAPSHOTS, valued
from contracts.feature import Feature, value_type
from contracts.features import built
from contracts.settings import Settings
from spark_jobs import delta, measures
from spark_jobs.figures import Figure, Known
from spark_jobs.measures import BUCKETS

OCTAVES = BUCKETS - 2  # of numbers: null and 0 have buckets of their own


def measured(spark: SparkSession, settings: Settings, days: Sequence[str]) -> Known:
    """The days' values, still without bounds and drifts."""
    features = built(settings)
    parts = [
        counts(delta.read(spark, settings, table, days), side, valued(features, side))
        for table, side in SNAPSHOTS.items()
    ]
    found: dict[str, dict[tuple[str, int], int]] = {day: {} for day in days}
    for row in reduce(DataFrame.union, parts).collect():
        found[row["day"]][row["what"], row["part"]] = row["n"]
    known: Known = {}
    for day, n in found.items():
        known[day] = {}
        for table, side in SNAPSHOTS.items():
            rows = float(n.get((f"{side}_rows", 0), 0))
            known[day][f"{side}_rows"] = Figure(day, table, f"{side}_rows", rows)
            for one in valued(features, side):
                drift, missing = f"drift_{one.name}", f"missing_{one.name}"
                buckets = tuple(float(n.get((drift, part), 0)) for part in range(BUCKETS))
                known[day][drift] = Figure(day, table, drift, None, rows, buckets=buckets)
                known[day][missing] = Figure(day, table, missing, buckets[0] / rows if rows else None, rows)
    return known


def counts(snapshot: DataFrame, side: str, features: Sequence[Feature]) -> DataFrame:
    """(day, what, part, n): rows of the snapshot, and of each feature by bucket."""
    each = {f"{side}_rows": (F.lit(0), F.lit(1))}
    each |= {f"drift_{one.name}": (bucket(one), F.lit(1)) for one in features}
    return measures.long_rows(snapshot, each).groupBy("day", "what", "part").agg(F.sum("n").alias("n"))


def bucket(feature: Feature) -> SparkColumn:
    """0 for what is missing, NaN too, else one of BUCKETS - 1 for the value. Where that lies follows from the value
    alone, so that any two days can be compared:

    - a text's by its hash, as a landed column's;
    - a list's by its length, the longest lists together;
    - a number's by its octave (twice as much is the next one), these laid round a circle: two values share a bucket
      only where some 14 octaves lie between them. No fixed range would suit CTRs and prices alike, and a wrong unit
      moves all values. A negative number lies on the far side of the circle; 0 has a bucket of its own.
    """
    value, kind = F.col(feature.name), value_type(feature)
    if kind.startswith("array"):
        found = F.least(F.size(value) + 1, F.lit(BUCKETS - 1))
    elif kind == "double":
        turned = F.floor(F.log2(F.abs(value))) + F.when(value < 0, OCTAVES // 2).otherwise(0)
        found = F.when(value == 0, 1).otherwise(F.pmod(turned, F.lit(OCTAVES)) + 2)
        value = F.nanvl(value, F.lit(None).cast("double"))
    else:
        return measures.bucket(feature.name)
    return F.when(value.isNull(), F.lit(0)).otherwise(found).cast("int")
