"""`adlens history`: what served from when to when, by whom or which run, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contracts import paths
from contracts.settings import Settings
from release import publications
from release.publications import Entry


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
    from rich.console import Console
    from rich.table import Table

    from release.repeating import model_repeatable

    log = publications.read(settings)
    table = Table(title=f"publications of {settings.slot}")
    for column in ("#", "from", "until", "run", "action", "version", "bundle", "by", "why", "model can be repeated"):
        table.add_column(column, overflow="fold")
    again = {address: model_repeatable(address, settings) or "yes" for address in {entry.model for entry in log}}
    for one in served(log):
        entry = one.entry
        kept = "" if (paths.bundles(settings) / entry.bundle).is_dir() else " (removed)"
        table.add_row(
            str(entry.publication), _short(entry.at) or "?", _short(one.until) or "now", entry.day, entry.action,
            entry.version or Path(entry.model).parent.parent.name, entry.bundle[:12] + kept, entry.by or "?",
            entry.reason, again[entry.model],
        )  # fmt: skip
    Console().print(table)
    if log and log[-1].frozen:
        print(f"FROZEN: {log[-1].frozen}; `adlens unfreeze` ends it")


def _short(moment: str) -> str:
    return moment[:19].replace("T", " ")
