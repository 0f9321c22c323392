"""Reading a Delta table outside Spark, always through Arrow's own file systems.

deltalake's default hands Arrow a file system written in Python. Arrow's reading threads then still hold Python objects
when the interpreter ends, and about one process in seven that had read a table aborted at its exit ("terminate called
without an active exception", apache/arrow#34314).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyarrow.dataset import Dataset


def dataset(table: DeltaTable, days: Sequence[str] | None = None) -> Dataset:
    """The table, or of a table partitioned by day the files of some days; nothing is read yet."""
    from pyarrow.fs import FileSystem, SubTreeFileSystem

    system, folder = FileSystem.from_uri(table.table_uri)
    pruning = None if days is None else [("day", "in", list(days))]
    return table.to_pyarrow_dataset(file_pruning_predicate=pruning, filesystem=SubTreeFileSystem(folder, system))
