"""Rows of Parquet row groups, each read on from where the last buffer left it, only the columns that are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from training.plan import Part, RowGroup, Source, gone

ROWS_AT_ONCE = 1_024  # a batch of groups that Parquet decodes at once


class Cursor:
    """A row group's rows in order. Memory: its compressed columns and one batch."""

    def __init__(self, source: Source, of: RowGroup, columns: Sequence[str], inner: Sequence[str]):
        try:
            self.file = pq.ParquetFile(source.files.open_input_file(of.path), pre_buffer=True)
        except FileNotFoundError:
            raise gone(source.name, source.version, of.day, of.path) from None
        self.of, self.at, self.left = of, 0, None
        self.batches: Iterator[pa.RecordBatch] = self.file.iter_batches(
            ROWS_AT_ONCE, row_groups=[of.number], columns=self._leaves({*columns}, {*inner}), use_threads=False
        )

    def _leaves(self, columns: set[str], inner: set[str]) -> list[str]:
        """Paths such as c_price, c_title_words.list.element, impressions.list.element.label."""
        schema = self.file.schema
        paths = [schema.column(at).path for at in range(len(schema))]

        def is_wanted(path: str) -> bool:
            names = path.split(".")
            return names[0] in columns or (names[0] == "impressions" and names[3] in inner)

        return [path for path in paths if is_wanted(path)]

    def read(self, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        """Rows [start, stop); `start` lies behind what was read before."""
        while self.at < stop:
            batch = self.left if self.left is not None else next(self.batches)
            skipped, taken = max(0, start - self.at), min(len(batch), stop - self.at)
            if skipped < taken:
                yield batch.slice(skipped, taken - skipped)
            self.left = batch.slice(taken) if taken < len(batch) else None
            self.at += taken

    def close(self) -> None:
        self.file.close()


class Cursors:
    """The cursors of the row groups that the last buffer read; others are closed."""

    def __init__(self, source: Source, columns: Sequence[str], inner: Sequence[str]):
        self.source, self.columns, self.inner = source, columns, inner
        self.open: dict[RowGroup, Cursor] = {}

    def read(self, parts: Sequence[Part]) -> Iterator[pa.RecordBatch]:
        for one in set(self.open) - {part.of for part in parts}:
            self.open.pop(one).close()
        for part in parts:
            cursor = self.open.get(part.of)
            if cursor is None or cursor.at > part.start:
                if cursor is not None:
                    cursor.close()
                cursor = self.open[part.of] = Cursor(self.source, part.of, self.columns, self.inner)
            yield from cursor.read(part.start, part.stop)
            if cursor.at == part.of.rows:
                self.open.pop(part.of).close()
