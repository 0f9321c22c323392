"""Whether a run can still be repeated from its manifest: its input versions are kept, and nobody was erased since."""

from __future__ import annotations

from datetime import date

from deltalake import DeltaTable

from contracts import artifacts, delta_log, erasures, paths
from contracts.artifacts import Manifest
from contracts.days import Days
from contracts.errors import AdLensError
from contracts.settings import Settings


def repeatable(manifest: Manifest, settings: Settings) -> str | None:
    """None, or why not: which input is gone. A version from before an erasure counts as gone at once where it holds
    files that the erasure has replaced, for reading it would bring the person back."""
    asked = erasures.read(settings)
    for table, version in sorted(manifest.versions.items()):
        reason = _gone(settings, table, version, _days(manifest), asked)
        if reason:
            return reason
    return None


def model_repeatable(address: str, settings: Settings) -> str | None:
    """The same of the manifest at an address; a manifest that is gone is a reason too."""
    try:
        return repeatable(artifacts.read(address, check_files=False), settings)
    except AdLensError as error:
        return str(error)


def _days(manifest: Manifest) -> set[str]:
    """The days that the manifest's step read: what it was fitted on, else its own."""
    if manifest.interval:
        start, end = (date.fromisoformat(text) for text in manifest.interval)
        return set(Days(start, end).texts())
    return {manifest.day}


def _gone(settings: Settings, name: str, version: int, days: set[str], asked: list[erasures.Erasure]) -> str | None:
    where = paths.table(settings, name)
    if not DeltaTable.is_deltatable(where):
        return f"table {name} is gone"
    now = DeltaTable(where)
    try:
        then = DeltaTable(where, version=version)
    except Exception as error:  # deltalake names a cleaned version in several ways
        return f"{name}@{version} is no longer in the table's log ({type(error).__name__})"
    live = {one.path for one in delta_log.live_files(now)}
    read = {one.path for one in delta_log.live_files(then) if one.day is None or one.day in days}
    replaced = sorted(read - live)
    if not replaced:
        return None
    for erasure in asked:
        if erasure.versions.get(name, -1) >= version:
            return f"{name}@{version} is from before the erasure of a person ({erasure.asked_at:%Y-%m-%d})"
    system, folder = delta_log.opened(now)
    found = system.get_file_info([f"{folder}/{path}" for path in replaced])
    lost = sum(info.type.name == "NotFound" for info in found)
    return f"{lost} of {len(read)} files of {name}@{version} were removed by maintenance" if lost else None
