"""What a run has read of tables that other runs write too, and whether it still stands.

No lock: nothing is left of a run that dies. Nothing but Delta's log: it holds between machines.

A run notes the versions of these tables before it reads any of them. A commit of somebody else since then that changes
rows of the run's days means that it worked from what is no longer there; it then stops with an error that is worth
another try, and the next try reads anew. Stage 2 only looks at its end, because what it writes is a copy. Stage 1
reads again what it has written of labels and set-aside rows:

- Each write of these first takes a number (`turn`), then looks (`check`), then commits under that number. Delta gives
  a number only once: of two runs that both looked before either wrote one commits, and the other's commit conflicts or
  is left out; it looks again and finds the first one's. So no write goes over rows that its run has not read. (A commit
  without a number, `erase`'s, is found by the looks, and by Delta itself from the start of the write on.)
- After its last write a run looks once more. All of the other's commits lie before the first look or after the last
  one then; whichever of two runs ends later has looked after the other's writes. If both end well, they might as well
  have run one after the other.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from contracts import paths
from contracts.commits import parsed
from contracts.days import Days
from contracts.errors import DamagedArtifact
from contracts.settings import Settings

TURN = "adlens"  # whose numbers they are: Delta's txnAppId
# Commits that leave every row as it was.
NO_ROWS = frozenset(
    {
        "ADD COLUMNS", "ADD CONSTRAINT", "CHANGE COLUMN", "COMPUTE STATS", "CREATE TABLE", "OPTIMIZE",
        "SET TBLPROPERTIES", "VACUUM END", "VACUUM START",
    }
)  # fmt: skip


class Seen:
    """The state of the tables `names` when it was made, as far as a run on `days` depends on it. `by` marks the run's
    own commits."""

    def __init__(self, settings: Settings, days: Days, *names: str) -> None:
        self.by = uuid.uuid4().hex
        self._days = frozenset(days.texts())
        self._versions = {name: (where := paths.table(settings, name), _version(where)) for name in names}
        self._looked: dict[str, int] = {}

    def check(self) -> None:
        """Raises DamagedArtifact, which is tried again, where somebody else has changed rows of the days since."""
        for name, (where, version) in self._versions.items():
            for commit in _since(where, version):
                said = parsed(commit.get("userMetadata"))
                if commit.get("operation") in NO_ROWS or (said is not None and said.by == self.by):
                    continue
                touched = sorted(self._days if said is None else self._days & set(said.why))
                if touched:
                    who = f"{said.stage} of [{said.start}, {said.end})" if said else commit.get("operation", "a commit")
                    raise DamagedArtifact(
                        f"table {name}: {who} wrote version {commit['version']} while this run, which depends on its "
                        f"days {touched[0]} to {touched[-1]}, was at work; run the day again"
                    )

    def turn(self, where: str) -> dict[str, str]:
        """Options of a write to the table at that address, with which it commits only if nobody who takes turns has
        committed since. Raises DamagedArtifact as `check` does."""
        from deltalake import DeltaTable

        table = DeltaTable(where)  # before the look: what commits after it has taken this number or a later one
        self._looked[where] = table.version()
        self.check()
        return {"txnAppId": TURN, "txnVersion": str((table.transaction_version(TURN) or 0) + 1)}

    def committed(self, where: str) -> bool:
        """Whether the write after the last turn there has committed: Delta leaves one out silently whose number was
        taken."""
        said = (parsed(commit.get("userMetadata")) for commit in _since(where, self._looked[where]))
        return any(one is not None and one.by == self.by for one in said)


def _version(where: str) -> int:
    """-1 where there is no table."""
    from deltalake import DeltaTable

    return int(DeltaTable(where).version()) if DeltaTable.is_deltatable(where) else -1


def _since(where: str, version: int) -> Iterator[dict[str, Any]]:
    """Commits after that version."""
    from deltalake import DeltaTable

    newer = _version(where) - version
    if newer > 0:
        yield from (one for one in DeltaTable(where).history(newer) if one["version"] > version)
