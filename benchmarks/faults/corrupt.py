"""Landing folders as they should not be."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SOURCES = ("impressions", "clicks", "behaviours", "ads", "users")
Fault = Callable[[Path, random.Random], None]


def _truncated(file: Path, rng: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: rng.randrange(len(content))])


def _flipped(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(8):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(bytes(content))


def _gone(file: Path, rng: random.Random) -> None:
    file.unlink()


def _empty_file(file: Path, rng: random.Random) -> None:
    file.write_bytes(b"")


def _without_a_column(file: Path, rng: random.Random) -> None:
    table = pq.read_table(file)
    pq.write_table(table.drop_columns([rng.choice(table.column_names)]), file)


def _other_type(file: Path, rng: random.Random) -> None:
    table = pq.read_table(file)
    at = rng.randrange(table.num_columns)
    pq.write_table(table.set_column(at, table.column_names[at], pa.array(range(len(table)), pa.int16())), file)


def _nulls(file: Path, rng: random.Random) -> None:
    table = pq.read_table(file)
    at = rng.randrange(table.num_columns)
    kept = pc.greater(pa.array([rng.random() for _ in range(len(table))]), 0.5)
    holes = pc.if_else(kept, table.column(at), pa.scalar(None, table.schema.types[at]))
    pq.write_table(table.set_column(at, table.column_names[at], holes), file)


def _rows_of_another_day(file: Path, rng: random.Random) -> None:
    other = rng.choice([one for one in file.parent.parent.glob("day=*") if one != file.parent])
    shutil.copy(other / file.name, file)


def _twice(file: Path, rng: random.Random) -> None:
    table = pq.read_table(file)
    pq.write_table(pa.concat_tables([table, table]), file)


def _both_kinds(file: Path, rng: random.Random) -> None:
    file.with_suffix(".jsonl").write_text("{}\n")


FAULTS: dict[str, Fault] = {
    fault.__name__.strip("_"): fault
    for fault in (
        _truncated, _flipped, _gone, _empty_file, _without_a_column, _other_type, _nulls, _rows_of_another_day, _twice,
        _both_kinds,
    )
}  # fmt: skip


def corrupt(folder: Path, rng: random.Random) -> str:
    """Does one thing to one file of the folder; returns what."""
    name, source = rng.choice(sorted(FAULTS)), rng.choice(SOURCES)
    FAULTS[name](folder / f"{source}.parquet", rng)
    return f"{source}.parquet: {name.replace('_', ' ')}"
