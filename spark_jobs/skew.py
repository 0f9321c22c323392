"""Keys with so many rows in a day that one task should not hold them all: one ad on every page, a crawler's user id.

A heavy key's rows are told by a salt, so that a join or a grouping deals them over several tasks.
"""

from __future__ import annotations

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

HEAVY_ROWS = 50_000  # more rows of one key and day are dealt over ceil(rows / HEAVY_ROWS) tasks
SALT, SALTS = "_salt", "_salts"


def heavy_keys(rows: DataFrame, key: str) -> DataFrame:
    """day, seen, <key>, _salts: the heavy ones only. At most rows / HEAVY_ROWS of them: small enough to broadcast.

    Cost: a count by key, of which map-side aggregation leaves one row a key and task.
    """
    counted = rows.groupBy("day", "seen", key).agg(F.count(F.lit(1)).alias("_n")).where(F.col("_n") > HEAVY_ROWS)
    return counted.select("day", "seen", key, F.ceil(F.col("_n") / HEAVY_ROWS).cast("int").alias(SALTS))


def salted(rows: DataFrame, heavy: DataFrame, key: str, place: SparkColumn) -> DataFrame:
    """Rows with `_salt` in [0, _salts) by `place` (in [0, 1), of the row); 0 for a key that is not heavy."""
    joined = rows.join(F.broadcast(heavy), ["day", "seen", key], "left")
    salt = F.floor(place * F.col(SALTS)).cast("int")
    return joined.withColumn(SALT, F.coalesce(salt, F.lit(0))).drop(SALTS)


def copied(side: DataFrame, heavy: DataFrame, key: str) -> DataFrame:
    """The other side of a join with salted rows: a heavy key's row once for each salt."""
    joined = side.join(F.broadcast(heavy), ["day", "seen", key], "left")
    salts = F.sequence(F.lit(0), F.coalesce(F.col(SALTS), F.lit(1)) - 1)
    return joined.withColumn(SALT, F.explode(salts)).drop(SALTS)
