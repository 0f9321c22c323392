"""The publication log: the truth about what served when. One row for each change of what is served.

The pointer changes first, in one conditional step (switch.py), and holds its row whole; then the row goes into the
log. So the log is at most one row behind, `read` adds that row, and `settle` writes it. Rows are ordered by their
number alone: a clock that went back changes no order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from deltalake import DeltaTable, QueryBuilder, write_deltalake
from deltalake.exceptions import DeltaError

from contracts.bundle import Pointer
from contracts.errors import AdLensError, DamagedArtifact, Overtaken
from contracts.paths import pointer, table
from contracts.settings import Settings
from release.publishing.switch import Seen, store

ACTIONS = {
    "publish": "the day's challenger, which the gate let through",
    "keep": "the model in service with the table of the day's catalogue",
    "refresh": "the model in service with the table of a newer catalogue",
    "promote": "a version that somebody asked for, and the gate let through",
    "force": "a version that somebody asked for against the gate",
    "rollback": "what had served before",
    "freeze": "nothing changes but that no challenger follows by itself",
    "unfreeze": "challengers follow again",
}


@dataclass(frozen=True)
class Entry:
    """A row of the log."""

    day: str  # run that did it; of what a person did, the latest run before it; of a refresh the catalogue's
    publication: int  # 1, 2, 3, ...
    action: str  # of ACTIONS
    bundle: str  # digest; what is served after this row
    model: str  # address of the model's manifest
    table: str  # address of the lookup table's manifest
    decision: str  # address of the decision; empty where the gate was not asked
    reason: str
    version: str = ""  # MLflow's, of the model
    at: str = ""  # UTC, ISO 8601; never before the row before it
    by: str = ""  # who, or which run
    frozen: str = ""  # why no challenger follows by itself; empty: one does


def address(settings: Settings) -> str:
    return table(settings, "publication_log")


def logged(settings: Settings) -> list[Entry]:
    """The log's rows, oldest first. Read without pyarrow, whose import takes longer than a rollback may."""
    if not DeltaTable.is_deltatable(address(settings)):
        return []
    found = QueryBuilder().register("log", DeltaTable(address(settings))).execute("select * from log").read_all()
    names = {one.name for one in fields(Entry)}
    rows: dict[int, Entry] = {}
    for row in found.to_struct_array().to_pylist():  # two that settled at once may have written the same row
        told = {name: value for name, value in row.items() if name in names and value is not None}
        rows[row["publication"]] = Entry(**told)
    return [rows[number] for number in sorted(rows)]


def read(settings: Settings, seen: Seen | None = None) -> list[Entry]:
    """Everything that was ever served, oldest first: the log, and the pointer's row where the log lacks it yet."""
    log, current = logged(settings), (seen or store(settings).look()).pointer(settings)
    if current is not None and current.action and (not log or current.publication > log[-1].publication):
        log.append(Entry(**current.model_dump()))
    return log


def champion_of(log: Sequence[Entry], day: str) -> Entry | None:
    """DESIGN's rules 4 and 5: what the latest run of a day before `day` left in service."""
    before = [entry for entry in log if entry.day < day]
    return before[-1] if before else None


def append(settings: Settings, entry: Entry) -> None:
    from arro3.core import Array, DataType, Table

    types = {"publication": DataType.int64()}
    row = asdict(entry)
    columns: dict[str, Any] = {}
    for name, value in row.items():
        columns[name] = Array([value], type=types.get(name, DataType.string()))
    if "://" not in address(settings):
        Path(address(settings)).mkdir(parents=True, exist_ok=True)
    rows: Any = Table.from_pydict(columns)
    write_deltalake(address(settings), rows, mode="append", schema_mode="merge")


def _append_lost(settings: Settings, entry: Entry) -> None:
    """The row of somebody who died. Raises AdLensError where it cannot be written: nothing else has changed."""
    try:
        append(settings, entry)
    except (OSError, DeltaError) as error:
        raise AdLensError(
            f"{address(settings)} does not take the row of publication {entry.publication} ({error}); what serves goes "
            "on: make room, then do it again"
        ) from None


def switch(settings: Settings, seen: Seen, entry: Entry) -> None:
    """Serves an entry's bundle from now on, and logs it.

    Raises Overtaken, and changes nothing, where what is served is not what was `seen` any more, and AdLensError where
    the disk is full, which says whether the entry's bundle serves already. The log gets the row of what was seen first,
    if its publisher died before he wrote it.
    """
    current, log = seen.pointer(settings), logged(settings)
    if current is not None and (not log or log[-1].publication < current.publication):
        _append_lost(settings, Entry(**current.model_dump()))
    try:
        done = store(settings).swap(seen, Pointer(**asdict(entry)))
    except OSError as error:
        raise AdLensError(
            f"{pointer(settings)} cannot be replaced ({error}); what served goes on: make room, then do it again"
        ) from None
    if not done:
        raise Overtaken("what is served was changed by somebody else meanwhile; nothing was published: do it again")
    try:
        append(settings, entry)
    except (OSError, DeltaError) as error:
        raise AdLensError(
            f"publication {entry.publication} serves; {address(settings)} does not take its row ({error}), which "
            "follows by `adlens reconcile`: make room, then do that"
        ) from None


def settle(settings: Settings) -> list[str]:
    """Ends what somebody who died had begun: log and pointer agree afterwards. Returns what was done, in sentences.

    The newer of the two is right: an older bundle never comes back by itself, whatever was restored from a backup.
    Raises DamagedArtifact where they contradict each other.
    """
    place, log = store(settings), logged(settings)
    seen = place.look()
    try:
        current = seen.pointer(settings)
    except DamagedArtifact:
        if not log:
            raise
        current = None
    if current is None and not log:
        return []
    if log and (current is None or current.publication < log[-1].publication):
        if not place.swap(seen, Pointer(**asdict(log[-1]))):
            return settle(settings)  # somebody else did it
        return [f"the pointer follows the log again (publication {log[-1].publication})"]
    assert current is not None
    if log and current.publication == log[-1].publication:
        if current.bundle != log[-1].bundle:
            raise DamagedArtifact(
                f"publication {current.publication} is bundle {current.bundle[:12]} in {pointer(settings)} and "
                f"{log[-1].bundle[:12]} in {address(settings)}; delete the pointer if the log is right, then "
                "`adlens reconcile`"
            )
        return []
    _append_lost(settings, Entry(**current.model_dump()))
    return [f"the log has its row of publication {current.publication} now"]


def latest_run(log: Sequence[Entry]) -> str:
    """Day of the latest run; a refresh's day is its catalogue's and stops no run."""
    return max(entry.day for entry in log if entry.action != "refresh")


def predecessor(log: Sequence[Entry]) -> Entry | None:
    """What a plain rollback serves: the row before the present model's unbroken run of rows.

    If that run began with a rollback, the search goes on from the row which that one restored: a second rollback goes
    further back, not forth again. None where the first model that was ever published serves.
    """
    at = len(log) - 1
    while True:
        while at > 0 and log[at - 1].model == log[at].model:
            at -= 1
        before = log[:at]
        restored = [n for n, entry in enumerate(before) if entry.bundle == log[at].bundle]
        if log[at].action != "rollback" or not restored:
            return before[-1] if before else None
        at = restored[-1]


def following(last: Entry | None, at: str, **changed: Any) -> Entry:
    """The next row: as the last one but for what is changed."""
    base: dict[str, Any] = asdict(last) if last else {"publication": 0, "decision": "", "frozen": ""}
    stamp = max(at, last.at) if last else at
    return Entry(**{**base, **changed, "publication": base["publication"] + 1, "at": stamp})
