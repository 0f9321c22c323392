"""The model in service with a table of the newest catalogue: new ads get their vectors without a new model.

Any number of times a day, also after a gate that said no. The codec stays the model's own, only new pairs go through
the CNN, and where catalogue and pictures are as they were nothing is published. The bundle keeps its model and gets
another table; in the log it is a `refresh` of the catalogue's day, so that a gate of that day still compares with what
was in service when the day began.
"""

from __future__ import annotations

from pathlib import Path

from contracts import paths
from contracts.settings import Settings
from release.lookup import lookup_table
from release.lookup.catalogue import ads_table
from release.lookup.visual_delta import publish_delta
from release.publishing import publications
from release.publishing.candidate import draft_folder, settle_bundle, with_table
from release.publishing.proof import prove_kept
from release.publishing.publications import Entry
from release.publishing.switch import store
from serving.bundle import open_bundle
from training.reader import days_with_groups

ACTION = "refresh"


def refresh(settings: Settings, day: str | None = None, at: str = "") -> tuple[Entry | None, bool]:
    """(the log's last row, whether it is new). `day`: whose catalogue; the newest by default, never an older one than
    what is served. None before the first publication. `at`: UTC, ISO 8601, for the log. Raises Overtaken where
    something else was published meanwhile."""
    publications.settle(settings)
    seen = store(settings).look()
    log = publications.read(settings, seen)
    if not log:
        return None, False
    last = log[-1]
    publish_delta(Path(last.table), settings)  # whoever switched to it may have died before he did
    newest = day or max(days_with_groups(ads_table(settings)))
    if newest < last.day:
        return last, False
    address, _ = lookup_table.make(Path(last.model), newest, settings, like=Path(last.table))
    if str(address) == last.table:
        return last, False
    table = lookup_table.served_table(address)
    old = paths.bundles(settings) / last.bundle
    open_bundle(old)
    with draft_folder(settings) as draft:
        with_table(draft, old, newest, str(address), table)
        prove_kept(draft, old, Path(last.table), newest, settings)
        bundle = settle_bundle(draft).name
    entry = publications.following(
        last, at, day=newest, action=ACTION, bundle=bundle, table=str(address), decision="", by="refresh of the table",
        reason=f"catalogue of {newest}: {len(table.codes):,} ads in the table",
    )  # fmt: skip
    publications.switch(settings, seen, entry)
    publish_delta(address, settings)
    return entry, True
