"""Rows -> the files of a landing folder, by the one declaration in contracts.tables."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.tables import LANDING

ARROW = {
    "string": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "int": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
}


def schema(name: str) -> pa.Schema:
    """The Arrow schema of a landing file."""
    return pa.schema([pa.field(c.name, ARROW[c.type], c.nullable) for c in LANDING[name]])


def write_day(folder: Path, tables: Mapping[str, pa.Table]) -> None:
    """The day's folder appears whole or not at all: written under another name, then renamed."""
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for name, table in tables.items():
        pq.write_table(table, draft / f"{name}.parquet")
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(draft, folder)


def write_file(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    os.replace(draft, path)


def from_rows(name: str, rows: Iterable[Mapping[str, object]]) -> pa.Table:
    """A table of the declared schema from rows; timestamps as microseconds since 1970."""
    wanted = schema(name)
    listed = list(rows)
    arrays = []
    for column in wanted:
        values = [row.get(column.name) for row in listed]
        if pa.types.is_timestamp(column.type):
            arrays.append(pa.array(values, pa.int64()).cast(column.type))
        else:
            arrays.append(pa.array(values, column.type))
    return pa.Table.from_arrays(arrays, schema=wanted)
