"""The quarantine read without Spark: which rows were set aside, by folder, source and reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts import paths
from contracts.delta_dataset import dataset
from contracts.errors import MissingArtifact
from contracts.settings import Settings
from contracts.tables import STAGED

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset


@dataclass(frozen=True)
class Quarantined:
    """`id` names the row in commands: it depends on folder, source and row alone."""

    day: str
    source: str
    reason: str
    row: str

    @property
    def id(self) -> str:
        return hashlib.sha256("\n".join((self.day, self.source, self.row)).encode()).hexdigest()[:12]

    def as_json(self) -> str:
        """One line; `row` as an object where the text is one."""
        try:
            row = json.loads(self.row)
        except ValueError:
            row = self.row
        said = {"id": self.id, "source": self.source, "reason": self.reason, "row": row}
        return json.dumps(said, ensure_ascii=False)


def counts(settings: Settings, days: Sequence[str] | None = None) -> list[tuple[str, str, str, int]]:
    """(day, source, reason, rows), sorted. Raises MissingArtifact where there is no quarantine yet."""
    table = _staged(settings, days).to_table(columns=["day", "source", "reason"])
    grouped = table.group_by(["day", "source", "reason"]).aggregate([([], "count_all")]).to_pylist()
    found = [(one["day"], one["source"], one["reason"], one["count_all"]) for one in grouped]
    return sorted(one for one in found if days is None or one[0] in days)


def each(settings: Settings, day: str, source: str | None = None, reason: str | None = None) -> Iterator[Quarantined]:
    """Rows of a folder, of one source, with a reason that contains `reason`; read in batches."""
    import pyarrow.compute as pc

    wanted = pc.field("day") == day
    if source is not None:
        wanted = wanted & (pc.field("source") == source)
    if reason is not None:
        wanted = wanted & pc.match_substring(pc.field("reason"), reason)
    columns = ["day", "source", "reason", "row"]
    for batch in _staged(settings, [day]).to_batches(columns=columns, filter=wanted):
        yield from (Quarantined(**row) for row in batch.to_pylist())


def _staged(settings: Settings, days: Sequence[str] | None) -> Dataset:
    """What stage 1 wrote, also of a day that the audit refused."""
    from deltalake import DeltaTable

    where = paths.table(settings, f"{STAGED}/quarantine")
    if not DeltaTable.is_deltatable(where):
        raise MissingArtifact(f"no quarantine at {where}; run `adlens impressions` for a day first")
    return dataset(DeltaTable(where), days)
