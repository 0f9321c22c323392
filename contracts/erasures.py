"""Who was erased: the table `erasures`, which knows a person by the SHA-256 of the id only.

Stage 1 drops the rows of erased persons from whatever lands again, and a manifest that read a version from before an
erasure can no longer be repeated. The hash has no salt: whoever holds an id can ask whether it was erased.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from contracts import paths
from contracts.settings import Settings

TABLE = "erasures"


@dataclass(frozen=True)
class Erasure:
    """`versions`: table -> its Delta version before the erasure."""

    person: str
    asked_at: datetime
    reason: str
    versions: dict[str, int]


def person_of(user_id: str) -> str:
    """What stands for the id: SHA-256 of its UTF-8 bytes, as Spark's sha2(user_id, 256)."""
    return hashlib.sha256(user_id.encode()).hexdigest()


def read(settings: Settings) -> list[Erasure]:
    """All erasures, oldest first; none where nobody was ever erased."""
    from deltalake import DeltaTable

    from contracts.delta_dataset import dataset

    where = paths.table(settings, TABLE)
    if not DeltaTable.is_deltatable(where):
        return []
    rows = dataset(DeltaTable(where)).to_table().to_pylist()
    found = [Erasure(r["person"], r["asked_at"], r["reason"], json.loads(r["versions"])) for r in rows]
    return sorted(found, key=lambda one: (one.asked_at, one.person))


def record(settings: Settings, erasure: Erasure) -> None:
    """Adds a row; the table is made at the first."""
    import pyarrow as pa
    from deltalake import write_deltalake

    schema = pa.schema(
        [
            pa.field("person", pa.string(), False),
            pa.field("asked_at", pa.timestamp("us", "UTC"), False),
            pa.field("reason", pa.string(), False),
            pa.field("versions", pa.string(), False),
        ]
    )
    row = {
        "person": erasure.person,
        "asked_at": erasure.asked_at,
        "reason": erasure.reason,
        "versions": json.dumps(erasure.versions, sort_keys=True),
    }
    where = paths.table(settings, TABLE)
    if "://" not in where:
        settings.home_path.mkdir(parents=True, exist_ok=True)
    write_deltalake(where, pa.Table.from_pylist([row], schema=schema), mode="append")
