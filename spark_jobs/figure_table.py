"""The tables of figures: read without Spark, because they are a few dozen rows a day. Stage 2 writes its own beside its
other tables, with Spark; those of the stages after it are written without, in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame, SparkSession

from contracts.commits import Cause
from contracts.delta_dataset import dataset
from contracts.settings import Settings
from contracts.tables import TABLES
from spark_jobs import delta
from spark_jobs.figures import Figure, Known
from spark_jobs.small_frames import small_frame

if TYPE_CHECKING:
    from deltalake import DeltaTable

NAME = "quality_figures"  # of stage 2; contracts.verdicts names the others


def read(settings: Settings, days: Sequence[str]) -> Known:
    """Stage 2's figures of those of `days` that have some."""
    from deltalake import DeltaTable

    return known_of(DeltaTable(delta.address(settings, NAME)), days) if delta.exists(settings, NAME) else {}


def known_of(table: DeltaTable, days: Sequence[str]) -> Known:
    """The figures of those of `days` that have some in the opened version."""
    known: Known = {}
    for row in dataset(table, days).to_table(columns=TABLES[NAME].names()).to_pylist():
        if row["day"] in days:
            buckets = None if row["buckets"] is None else tuple(row["buckets"])
            known.setdefault(row["day"], {})[row["figure"]] = Figure(**{**row, "buckets": buckets})
    return known


def replace(table: DeltaTable, known: Known, cause: Cause, gone: Sequence[str] = ()) -> None:
    """Make the figures of the days of `known` these, and those of the days `gone` none, in one commit without Spark, or
    in none where they already are. `table`: the version that was read to find out.

    Raises CommitFailedError when somebody has written one of the days since.
    """
    import deltalake
    import pyarrow as pa

    there = known_of(table, [*known, *gone])
    changed = sorted({day for day in known if known[day] != there.get(day)} | (set(gone) & set(there)))
    if not changed:
        return
    types = {"string": pa.string(), "double": pa.float64(), "array<double>": pa.list_(pa.float64())}
    schema = pa.schema([pa.field(one.name, types[one.type], one.nullable) for one in TABLES[NAME].columns])
    rows = [vars(one) for day in changed if day in known for one in known[day].values()]
    said = {"userMetadata": cause.message(changed, there)}
    deltalake.write_deltalake(
        table, pa.Table.from_pylist(rows, schema), mode="overwrite",
        predicate=f"day IN ({', '.join(repr(day) for day in changed)})",
        commit_properties=deltalake.CommitProperties(custom_metadata=said),
    )  # fmt: skip


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
