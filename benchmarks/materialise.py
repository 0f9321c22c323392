"""What loading the online store costs, and that its memory does not follow the number of rows.

    python -m benchmarks.materialise --rows 1000000

Makes a snapshot of N users (random values, a tenth null) as a Delta table in a folder that is removed afterwards, and
loads it as `adlens materialise` does: from the table's files, in batches, through Feast into its SQLite store. Prints
rows, seconds, those that the processor worked, and the process's peak memory before, when a quarter was loaded, and at
the end: bounded memory means that the last two differ little. Measured figures are in docs/experiments.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

DAY = date(2026, 1, 1)
CHUNK = 100_000


def made(rows: int) -> Iterator[Any]:
    """Record batches of table user_features; the same for the same number of rows."""
    import numpy as np
    import pyarrow as pa

    stamp = datetime(2026, 1, 2, tzinfo=UTC)
    for start in range(0, rows, CHUNK):
        n = min(CHUNK, rows - start)
        rng = np.random.default_rng(start)

        def text(prefix: str, kinds: int, rng: Any = rng, n: int = n) -> Any:
            names = np.char.add(prefix, rng.integers(0, kinds, n).astype(str))
            return pa.array(names, mask=rng.random(n) < 0.1)

        history = [[f"c{c}" for c in row] for row in rng.integers(0, 300, (n, 5))]
        yield pa.record_batch(
            {
                "day": pa.array([DAY.isoformat()] * n),
                "event_timestamp": pa.array([stamp] * n, pa.timestamp("us", "UTC")),
                "created": pa.array([stamp] * n, pa.timestamp("us", "UTC")),
                "user_id": pa.array([f"user-{i}" for i in range(start, start + n)]),
                "age_band": text("band-", 8),
                "gender": text("g", 3),
                "region": text("region-", 200),
                "price_sensitivity": text("p", 3),
                "user_ctr_7d": pa.array(rng.random(n), mask=rng.random(n) < 0.1),
                "recent_categories": pa.array(history, pa.list_(pa.string())),
            }
        )


def write_table(address: str, rows: int) -> None:
    """In a process of its own: its memory is none of the load's."""
    import pyarrow as pa
    from deltalake import write_deltalake

    first = next(made(1))
    write_deltalake(
        address, pa.RecordBatchReader.from_batches(first.schema, made(rows)), partition_by=["day"], mode="overwrite"
    )


def peak_mib() -> float:
    """The most memory that this process has held (Linux)."""
    (line,) = [one for one in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if "VmHWM" in one]
    return int(line.split()[1]) / 1024


def measure(home: Path, rows: int) -> None:
    from contracts.settings import Settings
    from spark_jobs import delta, feast_store, materialise, snapshot_rows

    settings = Settings(home=home)
    writer = multiprocessing.get_context("spawn").Process(
        target=write_table, args=(delta.address(settings, "user_features"), rows)
    )
    writer.start()
    writer.join()
    with feast_store.quiet():
        opened = feast_store.registered(settings)
    before = peak_mib()
    began, worked, done, quarter = time.monotonic(), time.process_time(), 0, 0.0
    with materialise.bar(rows) as advance:
        for batch in snapshot_rows.batches(settings, "user_features", DAY):
            materialise.write(opened, "user_features", batch)
            done += batch.num_rows
            advance(batch.num_rows)
            if not quarter and done >= rows / 4:
                quarter = peak_mib()
    seconds, cpu = time.monotonic() - began, time.process_time() - worked
    stored = sum(file.stat().st_size for file in home.glob("feast/online.db*")) / 1024**2
    print(
        f"{done:,} rows, {seconds:.1f} s ({cpu:.1f} s of processor), {done / seconds:,.0f} rows/s; "
        f"peak memory {before:,.0f} MiB before, {quarter:,.0f} at a quarter, {peak_mib():,.0f} at the end; "
        f"online store {stored:,.0f} MiB"
    )


def main() -> None:
    top = argparse.ArgumentParser(prog="benchmarks.materialise", description=__doc__.splitlines()[0])
    top.add_argument("--rows", type=int, default=1_000_000)
    with tempfile.TemporaryDirectory(prefix="adlens-materialise-") as folder:
        measure(Path(folder), top.parse_args().rows)


if __name__ == "__main__":
    main()
