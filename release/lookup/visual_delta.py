"""The Delta table `visual_table`: a row an ad of the lookup table and day, for analysts and other models."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from contracts import artifacts, paths
from contracts.days import day_start
from contracts.delta_dataset import dataset
from contracts.settings import Settings
from release import delta
from release.lookup.catalogue import ads_table, batches
from serving.table import VisualTable

MOMENT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("day", pa.string()),
        ("event_timestamp", MOMENT),
        ("created", MOMENT),
        ("ad_id", pa.string()),
        ("vector", pa.list_(pa.field("element", pa.float32()))),
        ("table_version", pa.string()),  # day/key of the table artifact
    ]
)


def publish_delta(address: Path, visual: VisualTable, settings: Settings) -> int:
    """The table's rows as partition `day`, a batch at a time; no commit if they are there. Returns the version.

    `address`: of the table's manifest. Vectors are as a lookup returns them.
    """
    day, version = artifacts.read(address, check_files=False).day, f"{address.parent.parent.name}/{address.parent.name}"
    where = paths.table(settings, "visual_table")
    if delta.exists(where):
        there = DeltaTable(where)
        if _holds(there, day, version):
            return there.version()
    else:
        delta.make_room(where)
    stamp = day_start(date.fromisoformat(day) + timedelta(days=1), settings.time_zone)
    created = stamp + timedelta(minutes=settings.publication_delay_minutes)

    catalogue = batches(ads_table(settings), day, ["ad_id"])  # here: inside, Delta's writer is waiting for the rows

    def rows() -> Iterator[pa.RecordBatch]:
        for batch in catalogue:
            vectors, known = visual.of(batch.column("ad_id").to_pylist())
            ids, own = batch.column("ad_id").filter(pa.array(known)), vectors[known]
            offsets = pa.array(np.arange(len(own) + 1, dtype=np.int32) * visual.dimension, pa.int32())
            lists = pa.ListArray.from_arrays(offsets, pa.array(own.reshape(-1), pa.float32()))
            same = [pa.repeat(pa.scalar(value, kind), len(own)) for value, kind in
                    ((day, pa.string()), (stamp, MOMENT), (created, MOMENT))]  # fmt: skip
            columns = [*same, ids, lists.cast(SCHEMA.field("vector").type), pa.repeat(pa.scalar(version), len(own))]
            yield pa.RecordBatch.from_arrays(columns, schema=SCHEMA)

    reader = pa.RecordBatchReader.from_batches(SCHEMA, rows())
    if delta.exists(where):
        write_deltalake(where, reader, mode="overwrite", predicate=f"day = '{day}'", schema_mode="merge")
    else:
        write_deltalake(where, reader, partition_by=["day"])
    return DeltaTable(where).version()


def _holds(table: DeltaTable, day: str, version: str) -> bool:
    rows = dataset(table, [day])
    if "table_version" not in rows.schema.names:
        return False
    return rows.head(1, columns=["table_version"]).column(0).to_pylist() == [version]
