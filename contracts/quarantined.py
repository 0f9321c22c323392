"""The quarantine read without Spark: which rows were set aside, by folder, source and reason."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts import paths
from contracts.delta_dataset import dataset
from contracts.errors import MissingArtifact
from contracts.settings import Settings
from contracts.tables import STAGED

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset, Expression


@dataclass(frozen=True)
class Quarantined:
    """`id` names the row in commands: it depends on folder, source and row alone. `times`: how many such rows landed,
    equal to the byte; `rule`: the name of the declared rule, if it was one."""

    day: str
    source: str
    reason: str
    row: str
    times: int = 1
    rule: str | None = None

    @property
    def id(self) -> str:
        return hashlib.sha256("\n".join((self.day, self.source, self.row)).encode()).hexdigest()[:12]

    def as_json(self) -> str:
        """One line; `row` as an object where the text is one."""
        try:
            row = json.loads(self.row)
        except ValueError:
            row = self.row
        said = {"id": self.id, "source": self.source, "rule": self.rule, "reason": self.reason, "times": self.times}
        return json.dumps(said | {"row": row}, ensure_ascii=False)


def counts(
    settings: Settings, days: Sequence[str] | None = None, staged: bool = True
) -> list[tuple[str, str, str, int]]:
    """(day, source, reason, landed rows), sorted. Raises MissingArtifact where there is no quarantine yet."""
    found: Counter[tuple[str, str, str]] = Counter()
    for day, source, reason, n, _ in by_rule(settings, days, staged):
        found[day, source, reason] += n
    return sorted((*key, n) for key, n in found.items())


def by_rule(
    settings: Settings, days: Sequence[str] | None = None, staged: bool = True
) -> list[tuple[str, str, str, int, str]]:
    """As `counts`, with the rule's name: empty where it is no declared rule's."""
    there = _quarantine(settings, days, staged)
    table = there.to_table(columns=_columns(there, "day", "source", "reason"))
    key = ["day", "source", "reason", "rule"]
    grouped = table.group_by(key).aggregate([("times", "sum")]).to_pylist()
    found = [(one["day"], one["source"], one["reason"], one["times_sum"], one["rule"] or "") for one in grouped]
    return sorted(one for one in found if days is None or one[0] in days)


def each(settings: Settings, day: str, source: str | None = None, reason: str | None = None) -> Iterator[Quarantined]:
    """Rows of a folder, of one source, with a reason that contains `reason`; read in batches."""
    import pyarrow.compute as pc

    wanted = pc.field("day") == day
    if source is not None:
        wanted = wanted & (pc.field("source") == source)
    if reason is not None:
        wanted = wanted & pc.match_substring(pc.field("reason"), reason)
    there = _quarantine(settings, [day], staged=True)
    for batch in there.to_batches(columns=_columns(there, "day", "source", "reason", "row"), filter=wanted):
        yield from (Quarantined(**row) for row in batch.to_pylist())


def _columns(there: Dataset, *names: str) -> dict[str, Expression]:
    """These, `times` and `rule`: once, and none, where it was written before there were such columns."""
    import pyarrow as pa
    import pyarrow.compute as pc

    once = pa.scalar(1, pa.int64())
    times = pc.coalesce(pc.field("times"), once) if "times" in there.schema.names else pc.scalar(once)
    rule = pc.field("rule") if "rule" in there.schema.names else pc.scalar(pa.scalar(None, pa.string()))
    return {name: pc.field(name) for name in names} | {"times": times, "rule": rule}


def _quarantine(settings: Settings, days: Sequence[str] | None, staged: bool) -> Dataset:
    """`staged`: what stage 1 wrote, also of a day that the audit refused."""
    from deltalake import DeltaTable

    where = paths.table(settings, f"{STAGED}/quarantine" if staged else "quarantine")
    if not DeltaTable.is_deltatable(where):
        raise MissingArtifact(f"no quarantine at {where}; run `adlens impressions` for a day first")
    return dataset(DeltaTable(where), days)
