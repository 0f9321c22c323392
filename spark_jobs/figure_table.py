"""The table `quality_figures`: read without Spark, because it is a few dozen rows a day, and written with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession

from contracts.delta_dataset import dataset
from contracts.settings import Settings
from contracts.tables import TABLES
from spark_jobs import delta
from spark_jobs.figures import Figure, Known
from spark_jobs.small_frames import small_frame

NAME = "quality_figures"


def read(settings: Settings, days: Sequence[str]) -> Known:
    """The figures of those of `days` that have some."""
    from deltalake import DeltaTable

    if not delta.exists(settings, NAME):
        return {}
    rows = dataset(DeltaTable(delta.address(settings, NAME)), days).to_table(columns=TABLES[NAME].names()).to_pylist()
    known: Known = {}
    for row in rows:
        if row["day"] in days:
            buckets = None if row["buckets"] is None else tuple(row["buckets"])
            known.setdefault(row["day"], {})[row["figure"]] = Figure(**{**row, "buckets": buckets})
    return known


def write(spark: SparkSession, settings: Settings, known: Mapping[str, Mapping[str, Figure]]) -> delta.WriteResult:
    figures = [one for day in sorted(known) for one in known[day].values()]
    return delta.write_days(spark, settings, NAME, as_frame(spark, figures), sorted(known), kept=True)


def as_frame(spark: SparkSession, figures: Iterable[Figure]) -> DataFrame:
    table = TABLES[NAME]
    rows = [
        tuple(list(value) if isinstance(value := getattr(one, name), tuple) else value for name in table.names())
        for one in figures
    ]
    return small_frame(spark, rows, table.ddl)
