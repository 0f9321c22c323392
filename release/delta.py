"""Delta tables without Spark: reads one day's partition, replaces it only if it differs, appends to a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from contracts.artifacts import digest
from contracts.delta_dataset import dataset
from contracts.errors import MissingArtifact
from contracts.tables import Table


def exists(address: str) -> bool:
    return DeltaTable.is_deltatable(address)


def opened(address: str, writer: str) -> DeltaTable:
    """Raises MissingArtifact that names the stage which writes the table."""
    if not exists(address):
        raise MissingArtifact(f"no Delta table at {address}; {writer} writes it")
    return DeltaTable(address)


def partitions(table: DeltaTable, days: Sequence[str]) -> pa.Table:
    """The rows of some days."""
    return dataset(table, days).to_table()


def fingerprints(table: DeltaTable, days: Sequence[str]) -> dict[str, str]:
    """Day -> digest of the names of its data files; a day without files is left out.

    Delta never rewrites a file under its name, so equal fingerprints mean equal rows, whatever the table's version.
    """
    files: dict[str, list[str]] = {}
    for uri in table.file_uris():
        for part in unquote(uri).split("/"):
            if part.startswith("day="):
                files.setdefault(part.removeprefix("day="), []).append(uri.rsplit("/", 1)[-1])
    return {day: digest(sorted(files[day])) for day in days if day in files}


def replace_day(address: str, day: str, rows: pa.Table, key: str) -> tuple[int, bool]:
    """Makes `rows` the partition of `day`. Returns (version, written); equal rows are not written again.

    `key`: the column that rows are compared by; it must be unique.
    """
    rows = rows.sort_by(key)
    if exists(address):
        table = DeltaTable(address)
        there = partitions(table, [day]).select(rows.column_names).cast(rows.schema).sort_by(key)
        if there.equals(rows):
            return table.version(), False
        write_deltalake(table, rows, mode="overwrite", predicate=f"day = '{day}'")
    else:
        make_room(address)
        write_deltalake(address, rows, partition_by=["day"])
    return DeltaTable(address).version(), True


def append(address: str, rows: pa.Table) -> int:
    """Adds rows to a log; the table is made at the first. Returns the version."""
    if not exists(address):
        make_room(address)
        write_deltalake(address, rows)
    else:
        write_deltalake(DeltaTable(address), rows, mode="append")
    return DeltaTable(address).version()


ARROW = {"string": pa.string(), "long": pa.int64(), "int": pa.int32(), "double": pa.float64()}


def logged(declared: Table, rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """Rows of a table that the release writes, as declared; a NaN becomes null."""
    schema = pa.schema([pa.field(column.name, ARROW[column.type], column.nullable) for column in declared.columns])
    clean = [{name: None if value != value else value for name, value in row.items()} for row in rows]
    return pa.Table.from_pylist(clean, schema=schema)


def append_once(address: str, rows: pa.Table, key: Sequence[str]) -> int:
    """Adds those rows of a log whose key, `day` among it, is not there yet. Returns the version."""
    if exists(address):
        table = DeltaTable(address)
        same_days = pc.field("day").isin(rows.column("day"))
        there = {tuple(r.values()) for r in dataset(table).to_table(columns=list(key), filter=same_days).to_pylist()}
        new = [tuple(row.values()) not in there for row in rows.select(list(key)).to_pylist()]
        rows = rows.filter(pa.array(new, pa.bool_()))
        if not len(rows):
            return table.version()
    return append(address, rows)


def make_room(address: str) -> None:
    if "://" not in address:
        Path(address).parent.mkdir(parents=True, exist_ok=True)
