"""A table that is there against its declaration: columns declared since are added, columns no longer declared stay.

A new nullable column (also of a struct in an array) needs no stop: old files are read with nulls. A column that the
declaration has lost (a feature set that was switched off) keeps its old values and gets nulls. A changed type stops.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, StructField, StructType

from contracts.errors import DamagedArtifact
from contracts.settings import Settings
from contracts.tables import Table


def wanted_properties(settings: Settings) -> dict[str, str]:
    """Delta's properties of every table: no deletion vectors (so that all readers read it), no least and greatest
    values a file (rows are dealt over a day's files by a hash, so they would skip none, cost a quarter of a write and
    put ids of people into the log), and how long versions stay readable."""
    return {
        "delta.enableDeletionVectors": "false",
        "delta.deletedFileRetentionDuration": f"interval {settings.vacuum_hours} hours",
        "delta.logRetentionDuration": f"interval {24 * settings.log_retention_days} hours",
        "delta.dataSkippingNumIndexedCols": "0",
        "delta.checkpointInterval": "10",
    }


def properties(settings: Settings) -> str:
    """The same as SQL, for TBLPROPERTIES."""
    return ", ".join(f"'{name}' = '{value}'" for name, value in wanted_properties(settings).items())


@lru_cache(maxsize=64)
def declared(ddl: str) -> StructType:
    found = StructType.fromDDL(ddl)
    assert isinstance(found, StructType)
    return found


def evolve(spark: SparkSession, table: Table, where: str) -> None:
    """Add the columns that were declared since the table was made. Raises DamagedArtifact for a changed type, and for
    a new or lost column that may not be null."""
    added = list(_added(table, where))
    if not added:
        return
    listed = ", ".join(f"{path} {field.dataType.simpleString()}" for path, field in added)
    try:
        spark.sql(f"ALTER TABLE delta.`{where}` ADD COLUMNS ({listed})")
    except Exception:
        if list(_added(table, where)):  # otherwise another run has added them at the same moment
            raise


def as_declared(frame: DataFrame, table: Table) -> DataFrame:
    """The table's rows in the declared columns: one that the files have not yet is null, a further one is left out."""
    wanted, found = declared(table.ddl), frame.schema
    if _spelt(wanted) == _spelt(found):
        return frame
    list(_differences(table, found, found, wanted))  # says what does not fit
    columns = [_shaped(_column(found, one), found, one).alias(one.name) for one in wanted.fields]
    return frame.select(*columns)


def _added(table: Table, where: str) -> Iterator[tuple[str, StructField]]:
    from deltalake import DeltaTable

    there = StructType.fromJson(json.loads(DeltaTable(where).schema().to_json()))
    return _differences(table, there, there, declared(table.ddl))


def _differences(
    table: Table, whole: StructType, there: StructType, wanted: StructType, path: str = ""
) -> Iterator[tuple[str, StructField]]:
    """(path, field) of the fields to add, in the declared order."""
    names = {one.name: one for one in there.fields}
    for one in wanted.fields:
        own = names.pop(one.name, None)
        where = path + one.name
        if own is None and not one.nullable:
            raise _misfit(table, whole, f"the new column {where} may not be null, so old rows cannot have it")
        if own is None:
            yield where, one
        elif own.dataType.simpleString() != one.dataType.simpleString():
            inner, wanted_inner, step = own.dataType, one.dataType, f"{where}."
            if isinstance(inner, ArrayType) and isinstance(wanted_inner, ArrayType):
                inner, wanted_inner, step = inner.elementType, wanted_inner.elementType, f"{where}.element."
            if not (isinstance(inner, StructType) and isinstance(wanted_inner, StructType)):
                kinds = f"{own.dataType.simpleString()}, declared as {one.dataType.simpleString()}"
                raise _misfit(table, whole, f"column {where} is {kinds}")
            yield from _differences(table, whole, inner, wanted_inner, step)
    for one in names.values():
        if not one.nullable:
            raise _misfit(table, whole, f"column {path}{one.name} is no longer declared and may not be null")


def _misfit(table: Table, there: StructType, what: str) -> DamagedArtifact:
    return DamagedArtifact(
        f"table {table.name}: {what}. A type never changes under a name: declare a new nullable column instead. "
        f"The table holds {_listed(there)}; declared is {_listed(declared(table.ddl))}"
    )


def _column(found: StructType, one: StructField) -> SparkColumn:
    if one.name in found.names:
        return F.col(one.name)
    return F.lit(None).cast(one.dataType)


def _shaped(column: SparkColumn, found: StructType, one: StructField) -> SparkColumn:
    own = found[one.name].dataType if one.name in found.names else one.dataType
    return _as_type(column, own, one.dataType)


def _as_type(column: SparkColumn, found: DataType, wanted: DataType) -> SparkColumn:
    if found.simpleString() == wanted.simpleString():
        return column
    if isinstance(found, ArrayType) and isinstance(wanted, ArrayType):
        return F.transform(column, lambda one: _as_type(one, found.elementType, wanted.elementType))
    assert isinstance(found, StructType) and isinstance(wanted, StructType)
    fields = [
        _shaped(column[one.name] if one.name in found.names else F.lit(None).cast(one.dataType), found, one).alias(
            one.name
        )
        for one in wanted.fields
    ]
    return F.when(column.isNotNull(), F.struct(*fields))


def _spelt(schema: StructType) -> list[tuple[str, str]]:
    return [(one.name, one.dataType.simpleString()) for one in schema.fields]


def _listed(schema: StructType) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in _spelt(schema))
