"""The Delta table `visual_table`: a row an ad of the lookup table and day, for analysts and other models.

It is written once a table is served, and never before: what the gate refuses is not in it. Who is killed between the
switch and this leaves the day's old rows; the next run, refresh or `adlens reconcile` writes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from contracts import artifacts, paths
from contracts.days import day_start
from contracts.delta_dataset import dataset
from contracts.errors import AdLensError
from contracts.settings import Settings
from release import delta
from release.lookup.catalogue import ads_table, batches
from release.lookup.lookup_table import served_table
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


def publish_delta(address: Path, settings: Settings) -> int:
    """The rows of a table that is served as partition `day`, a batch at a time; no commit if they are there, or if the
    day's catalogue is not kept any more (0 where nothing was ever written). Returns the version.

    `address`: of the table's manifest. Vectors are as a lookup returns them. Raises AdLensError where Delta does not
    take them.
    """
    try:
        return _published(address, served_table(address), settings)
    except (DeltaError, OSError) as error:
        where = paths.table(settings, "visual_table")
        raise AdLensError(f"{where} does not get the rows of {address}: {error}") from None


def _published(address: Path, visual: VisualTable, settings: Settings) -> int:
    day, version = artifacts.read(address, check_files=False).day, f"{address.parent.parent.name}/{address.parent.name}"
    where = paths.table(settings, "visual_table")
    if delta.exists(where):
        there = DeltaTable(where)
        if _holds(there, day, version):
            return there.version()
    ads = ads_table(settings)
    if not dataset(ads, [day]).count_rows():
        return DeltaTable(where).version() if delta.exists(where) else 0
    delta.make_room(where)
    stamp = day_start(date.fromisoformat(day) + timedelta(days=1), settings.time_zone)
    created = stamp + timedelta(minutes=settings.publication_delay_minutes)

    catalogue = batches(ads, day, ["ad_id"])  # here: inside, Delta's writer is waiting for the rows

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
