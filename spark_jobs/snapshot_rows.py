"""The rows of one day's snapshot, read from the Delta table's files as Arrow: no Spark, and not all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from contracts.settings import Settings
from spark_jobs import delta

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 10_000  # about 60 MB of Python objects on their way into an online store


def count(settings: Settings, table: str, day: date) -> int:
    """Rows of the day, from the files' footers."""
    return int(_dataset(settings, table).count_rows(filter=_of(day)))


def batches(settings: Settings, table: str, day: date) -> Iterator[pa.RecordBatch]:
    """All columns but `day`, at most BATCH_ROWS rows a batch; reads ahead by a batch, not by whole files."""
    columns = [name for name in delta.declaration(table, settings).names() if name != "day"]
    yield from _dataset(settings, table).to_batches(
        columns=columns, filter=_of(day), batch_size=BATCH_ROWS, batch_readahead=1, fragment_readahead=1
    )


def of_keys(settings: Settings, table: str, day: date, key: str, wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Key -> its row, of the keys that the day's snapshot holds."""
    import pyarrow.compute as pc

    rows = _dataset(settings, table).to_table(filter=_of(day) & pc.field(key).isin(list(wanted))).to_pylist()
    return {row[key]: row for row in rows}


def _dataset(settings: Settings, table: str) -> Any:
    from deltalake import DeltaTable

    return DeltaTable(delta.address(settings, table)).to_pyarrow_dataset()


def _of(day: date) -> Any:
    import pyarrow.compute as pc

    return pc.field("day") == day.isoformat()
