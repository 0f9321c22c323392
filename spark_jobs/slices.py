"""How a stage's rows are dealt over tasks and files.

Each day's rows go into as many slices as the largest day needs, by a hash of their key; a slice is one task and one
file of its day. One shuffle then serves the window functions, groupings and joins on that key, and the write: Spark
knows that a slice lies in one task (`repartitionById`) wherever `_slice` is among the keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

SLICE = "_slice"
SLICE_ROWS = 250_000
PARTITIONS, ADAPTIVE = "spark.sql.shuffle.partitions", "spark.sql.adaptive.enabled"


@dataclass(frozen=True)
class Slices:
    """`first`: the first day; `days`: from it to the last; `per_day`: slices of each."""

    first: date
    days: int
    per_day: int

    @classmethod
    def of_rows(cls, rows: Mapping[str, int]) -> Slices:
        """`rows`: day -> rows, about; from file footers or Delta's log, never by reading rows."""
        dates = sorted(date.fromisoformat(day) for day in rows)
        return cls(dates[0], (dates[-1] - dates[0]).days + 1, max(1, -(-max(rows.values()) // SLICE_ROWS)))

    def one_a_day(self) -> Slices:
        return replace(self, per_day=1)

    def of(self, *key: str) -> SparkColumn:
        """The slice of a row by its `day` and key; null keys are equal to one another."""
        ordinal = F.date_diff(F.to_date("day"), F.lit(self.first))
        return (ordinal * self.per_day + F.pmod(F.xxhash64(*key), F.lit(self.per_day))).cast("int")

    def dealt(self, frame: DataFrame, *key: str) -> DataFrame:
        """The frame (rows of these days only) with `_slice`, each slice in one task."""
        return frame.withColumn(SLICE, self.of(*key)).repartitionById(self.days * self.per_day, SLICE)


@contextmanager
def sized(spark: SparkSession, rows: int) -> Iterator[None]:
    """Within it, shuffles that are not dealt have tasks of at most about SLICE_ROWS of `rows`; never fewer than set.

    Where that makes more of them, Spark adapts its plans as it goes (a small session does not: spark_options), so that
    what has become small has few tasks again.
    """
    before = {name: spark.conf.get(name) or "" for name in (PARTITIONS, ADAPTIVE)}
    if rows // SLICE_ROWS > int(before[PARTITIONS]):
        spark.conf.set(PARTITIONS, str(rows // SLICE_ROWS))
        spark.conf.set(ADAPTIVE, "true")
    try:
        yield
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)
