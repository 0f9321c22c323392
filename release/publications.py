"""The publication log: the truth about what served when. One row for each thing done to what is served.

The pointer follows from the log (its last row), so whoever finds the two different finishes what was interrupted.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import pyarrow as pa
from deltalake import DeltaTable

from contracts.artifacts import write_atomically
from contracts.bundle import Pointer
from contracts.delta_dataset import dataset
from contracts.paths import pointer, table
from contracts.settings import Settings
from release import delta
from serving.bundle import read_pointer

SCHEMA = pa.schema(
    [
        ("day", pa.string()),  # run that did it; of a rollback the latest run before it, of a refresh the catalogue's
        ("publication", pa.int64()),  # 1, 2, 3, ...
        ("action", pa.string()),  # publish, keep, refresh or rollback
        ("bundle", pa.string()),  # digest; what is served after this row
        ("model", pa.string()),  # address of the model's manifest
        ("table", pa.string()),  # address of the lookup table's manifest
        ("decision", pa.string()),  # address of the decision; empty for a rollback
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class Entry:
    day: str
    publication: int
    action: str
    bundle: str
    model: str
    table: str
    decision: str
    reason: str


def address(settings: Settings) -> str:
    return table(settings, "publication_log")


def read(settings: Settings) -> list[Entry]:
    """All rows, oldest first; none before the first publication."""
    if not delta.exists(address(settings)):
        return []
    rows = dataset(DeltaTable(address(settings))).to_table().sort_by("publication").to_pylist()
    return [Entry(**{name: row[name] for name in SCHEMA.names}) for row in rows]


def champion_of(log: list[Entry], day: str) -> Entry | None:
    """DESIGN's rules 4 and 5: what the latest run of a day before `day` left in service."""
    before = [entry for entry in log if entry.day < day]
    return before[-1] if before else None


def append(settings: Settings, entry: Entry) -> int:
    """Returns the log's Delta version."""
    return delta.append(address(settings), pa.Table.from_pylist([asdict(entry)], schema=SCHEMA))


def settle(settings: Settings) -> bool:
    """Makes the pointer say what the log's last row says. True if it had to be changed."""
    log = read(settings)
    if not log:
        return False
    last = log[-1]
    wanted = Pointer(bundle=last.bundle, day=last.day, publication=last.publication)
    if read_pointer(settings) == wanted:
        return False
    write_atomically(pointer(settings), wanted.model_dump_json() + "\n")
    return True


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Of several processes on this machine, one at a time changes log and pointer."""
    lock = pointer(settings).with_name("publication.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
