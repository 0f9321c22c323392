"""What is followed of a day's groups: whether they hold the log, how full they are, and how much of it met a snapshot.
One Spark query; the driver gets some twenty numbers a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import and_

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.derived import GROUPS, valued
from contracts.feature import Feature, code_type
from contracts.features import built
from contracts.settings import Settings
from spark_jobs import delta, measures
from spark_jobs.figures import Figure, Known

LABELS = "impressions.label"  # the one field of the impressions that is read


def measured(spark: SparkSession, settings: Settings, days: Sequence[str]) -> Known:
    """The days' values, still without bounds. Cost: one pass over the labels of the log and of both groupings, and
    over the groups' own codes that are no lists."""
    features = built(settings)
    log = delta.read(spark, settings, "impressions", days).groupBy("day")
    parts = [_long(log.agg(F.count(F.lit(1)).alias("rows"), F.sum("label").alias("labels")), ("rows", "labels"), "log")]
    for table, side in GROUPS.items():
        size = sizes(settings)[side]
        parts.append(counts(delta.read(spark, settings, table, days), side, valued(features, side), size))
    found: dict[str, dict[str, int]] = {day: {} for day in days}
    for row in reduce(DataFrame.union, parts).collect():
        found[row["day"]][row["what"]] = row["n"]
    return {
        day: {one.figure: one for table, side in GROUPS.items() for one in figures(day, table, side, n, settings)}
        for day, n in found.items()
    }


def sizes(settings: Settings) -> dict[str, int]:
    """Side -> the most impressions of a group."""
    return {"ad": settings.ad_group_size, "user": settings.user_group_size}


def counts(groups: DataFrame, side: str, features: Sequence[Feature], size: int) -> DataFrame:
    """(day, what, part, n) of the side's groups."""
    rows, zero = F.size(LABELS), F.lit(0).cast("long")
    labels = F.aggregate(LABELS, zero, lambda total, one: total + F.coalesce(one, F.lit(0)))
    summed = {
        "groups": F.lit(1),
        "rows": rows,
        "labels": labels,
        "overfull": F.when(rows > size, 1),
        "unknown": F.when(unknown(features), rows),
    }
    found = groups.groupBy("day").agg(*(F.sum(one.cast("long")).alias(name) for name, one in summed.items()))
    return _long(found, summed, side)


def unknown(features: Sequence[Feature]) -> SparkColumn:
    """Whether a group's own entity has no single code, which its id would be: no snapshot says anything of it. A group
    does not keep whether it met one; lists, the longest columns, are not asked."""
    single = [one for one in features if not code_type(one).startswith("array")]
    return reduce(and_, (F.col(f"c_{one.name}").isNull() for one in single), F.lit(bool(single)))


def figures(day: str, table: str, side: str, n: Mapping[str, int], settings: Settings) -> list[Figure]:
    """Of one grouping. `n`: what is counted of it and of the log, nothing where it is 0."""

    def of(what: str, where: str = side) -> int:
        return n.get(f"{where} {what}", 0)

    rows, room = of("rows"), sizes(settings)[side] * of("groups")
    plain = {
        "groups": of("groups"),
        "group_rows": rows,
        "rows_off": abs(rows - of("rows", "log")),
        "labels_off": abs(of("labels") - of("labels", "log")),
        "overfull": of("overfull"),
    }
    shares = {"group_ctr": (of("labels"), rows), "group_fill": (rows, room), "unknown": (of("unknown"), rows)}
    found = [Figure(day, table, f"{side}_{name}", float(value)) for name, value in plain.items()]
    for name, (part, whole) in shares.items():
        found.append(Figure(day, table, f"{side}_{name}", part / whole if whole else None, float(whole)))
    return found


def _long(counted: DataFrame, names: Sequence[str] | Mapping[str, object], whose: str) -> DataFrame:
    return measures.long_rows(counted, {f"{whose} {name}": (F.lit(0), F.col(name)) for name in names})
