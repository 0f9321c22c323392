"""A process that dies where it stands, and what must agree afterwards."""

from __future__ import annotations

from pathlib import Path

from deltalake import DeltaTable

from contracts import paths
from contracts.delta_dataset import dataset
from release.publishing import publications
from release.versions import registry
from serving.bundle import read_pointer


class Killed(BaseException):
    """Not an Exception: nothing may catch it."""


def die(*_, **__):
    raise Killed


def agreed(settings) -> list[publications.Entry]:
    """Log, pointer, the rows for analysts and the alias say the same; returns the log."""
    log = publications.logged(settings)
    assert [entry.publication for entry in log] == list(range(1, len(log) + 1))
    current = read_pointer(settings)
    assert (current.publication, current.bundle) == (log[-1].publication, log[-1].bundle)
    alias = registry.champion(settings)
    assert (alias.version, alias.synced_publication) == (log[-1].version, log[-1].publication)
    table = Path(log[-1].table).parent
    rows = dataset(DeltaTable(paths.table(settings, "visual_table")), [table.parent.name]).to_table()
    assert set(rows.column("table_version").to_pylist()) == {f"{table.parent.name}/{table.name}"}
    return log


def asked(settings, number: str) -> list[str]:
    return [name for name in registry.version(settings, number).tags if name.startswith("request.")]
