"""`adlens history`: what served from when to when, by whom or which run, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill

from contracts import paths
from contracts.settings import Settings
from release.publishing import publications
from release.publishing.publications import Entry


@dataclass(frozen=True)
class Served:
    """A row of the log and until when its bundle served; `until` is empty for what serves now."""

    entry: Entry
    until: str


def served(log: list[Entry]) -> list[Served]:
    """Of each row: a bundle serves until the next row that names another one."""
    found = []
    for at, entry in enumerate(log):
        other = next((later.at or "?" for later in log[at + 1 :] if later.bundle != entry.bundle), "")
        found.append(Served(entry, other))
    return found


def show(settings: Settings) -> None:
    """A line a publication, and below it why; on any width of a terminal."""
    from release.versions.repeating import model_repeatable

    log = publications.read(settings)
    if not log:
        print(f"nothing of {settings.slot} was ever published; `make day` or `adlens day` publishes the first model")
    lost = {address: model_repeatable(address, settings) for address in {entry.model for entry in log}}
    width = max(60, get_terminal_size().columns)
    for one in served(log):
        entry = one.entry
        removed = "" if (paths.bundles(settings) / entry.bundle).is_dir() else " (removed)"
        version = entry.version or Path(entry.model).parent.parent.name
        print(
            f"{entry.publication:>4}  {_short(entry.at) or '?'} to {_short(one.until) or 'now'}  {entry.action}  "
            f"run {entry.day}  version {version}  bundle {entry.bundle[:12]}{removed}  by {entry.by or '?'}"
        )
        told = [entry.reason] + [f"the model cannot be repeated: {why}" for why in [lost[entry.model]] if why]
        for text in filter(None, told):
            print(fill(text, width, initial_indent=" " * 6, subsequent_indent=" " * 6))
    if log and log[-1].frozen:
        print(f"FROZEN: {log[-1].frozen}; `adlens unfreeze` ends it")


def _short(moment: str) -> str:
    return moment[:19].replace("T", " ")
