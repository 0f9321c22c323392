"""Removing a person from landing files that AdLens itself generated. Which folders are rewritten, adlens.erase decides:
generated ones inside ADLENS_HOME. All others are only read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from landing.generate import RECORD

ROWS_AT_ONCE = 65_536


def generated(folder: Path) -> bool:
    return (folder / RECORD).is_file()


def holds(folder: Path, user_id: str) -> bool:
    """Whether any generated day names the user."""
    for source in ("users", "impressions", "behaviours"):
        for file in folder.glob(f"day=*/{source}.parquet"):
            for batch in _batches(file, ["user_id"]):
                if pc.any(pc.equal(batch["user_id"], user_id)).as_py():
                    return True
    return False


def erase(folder: Path, user_id: str) -> int:
    """Rows removed. The person's clicks and true probabilities go before the impressions that they are found by, so
    that a run which was killed finds them again. A generated impression's id is unique over all days."""
    days = sorted(one for one in folder.glob("day=*") if one.is_dir())
    ids: set[str] = set()
    for day in days:
        for batch in _batches(day / "impressions.parquet", ["impression_id", "user_id"]):
            own = batch.filter(pc.equal(batch["user_id"], user_id))
            ids.update(own["impression_id"].to_pylist())
    named = pa.array(sorted(ids), pa.string())
    removed = 0
    for day in days:
        for file in (day / "clicks.parquet", folder / "truth" / day.name / "truth.parquet"):
            removed += _rewritten(file, lambda batch: pc.is_in(batch["impression_id"], value_set=named))
    for source in ("behaviours", "users", "impressions"):
        for day in days:
            removed += _rewritten(day / f"{source}.parquet", lambda batch: pc.equal(batch["user_id"], user_id))
    return removed


def _batches(file: Path, columns: list[str] | None = None) -> list[pa.Table] | map[pa.Table]:
    if not file.is_file():
        return []
    read = pq.ParquetFile(file).iter_batches(ROWS_AT_ONCE, columns=columns)
    return map(lambda one: pa.Table.from_batches([one]), read)


def _rewritten(file: Path, doomed: Callable[[pa.Table], pa.ChunkedArray]) -> int:
    """The file without the doomed rows, in one rename; untouched where there is none."""
    found = sum(pc.sum(pc.fill_null(doomed(batch), False)).as_py() or 0 for batch in _batches(file))
    if not found:
        return 0
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with pq.ParquetWriter(draft, pq.read_schema(file)) as writer:
        for batch in _batches(file):
            writer.write_table(batch.filter(pc.invert(pc.fill_null(doomed(batch), False))))
    os.replace(draft, file)
    return int(found)
