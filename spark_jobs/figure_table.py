"""The tables of figures: read without Spark, because they are a few dozen rows a day, and written with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession

from contracts.commits import Cause
from contracts.delta_dataset import dataset
from contracts.settings import Settings
from contracts.tables import TABLES
from spark_jobs import delta
from spark_jobs.figures import Figure, Known
from spark_jobs.seen import Seen
from spark_jobs.small_frames import small_frame

NAME = "quality_figures"  # of stage 2; contracts.verdicts names the others


def read(settings: Settings, days: Sequence[str], name: str = NAME) -> Known:
    """The figures of those of `days` that have some."""
    from deltalake import DeltaTable

    if not delta.exists(settings, name):
        return {}
    rows = dataset(DeltaTable(delta.address(settings, name)), days).to_table(columns=TABLES[name].names()).to_pylist()
    known: Known = {}
    for row in rows:
        if row["day"] in days:
            buckets = None if row["buckets"] is None else tuple(row["buckets"])
            known.setdefault(row["day"], {})[row["figure"]] = Figure(**{**row, "buckets": buckets})
    return known


def write(
    spark: SparkSession, settings: Settings, known: Mapping[str, Mapping[str, Figure]], name: str = NAME,
    gone: Sequence[str] = (), cause: Cause | None = None, seen: Seen | None = None,
) -> delta.WriteResult:  # fmt: skip
    """`gone`: days that have no figures any more. `cause`, `seen`: as delta.write_days says."""
    figures = [one for day in sorted(known) for one in known[day].values()]
    days = sorted({*known, *gone})
    frame = as_frame(spark, figures, name)
    return delta.write_days(spark, settings, name, frame, days, kept=True, cause=cause, seen=seen)


def as_frame(spark: SparkSession, figures: Iterable[Figure], name: str = NAME) -> DataFrame:
    table = TABLES[name]
    rows = [
        tuple(list(value) if isinstance(value := getattr(one, column), tuple) else value for column in table.names())
        for one in figures
    ]
    return small_frame(spark, rows, table.ddl)
