"""What maintenance removes of the release's own files, and what it never touches.

Kept for ever: run reports (a few KB a day), the publication log and the gate's decisions in their tables, every model
and decision that the publication log names, and the ancestors of these models. Kept by number and age: served bundles
and their tables: the newest `keep_bundles`, those of days from the first kept one on, and always what serves now and
what a rollback would serve. Removed: the other bundles and tables, artifacts, finished or not, of days before the first
kept one that no publication names, drafts of killed publishers, trainings of these days that were stopped and not gone
on with, and caches of decoded pictures that are full of some which the kept catalogues do not know.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable

from contracts import artifacts, keeping, paths
from contracts.bundle import INFO, BundleInfo
from contracts.delta_dataset import dataset
from contracts.errors import AdLensError
from contracts.settings import Settings, load
from release.publishing import publications
from release.publishing.candidate import DRAFT, abandoned
from release.publishing.publications import Entry
from release.publishing.switch import FileStore
from training.picture_cache import full_caches


@dataclass(frozen=True)
class Tidied:
    """What went, or would go: files and folders, and their bytes."""

    paths: list[Path]
    size: int


def tidy(settings: Settings, first_kept: str, dry_run: bool = False) -> Tidied:
    """Removes what nobody needs of days before `first_kept`. A second call finds nothing."""
    stopped = [one for one in sorted(paths.checkpoints(settings).glob("*-*-*-*")) if one.name < first_kept]
    pictures = _pictures(settings)
    with FileStore(settings).held():  # nobody rolls back to a bundle that goes
        log = publications.read(settings)
        kept = _kept(log, first_kept, settings)
        old = _bundles(settings, first_kept, log, kept)
        gone = {} if dry_run else {one: one.with_name(f"{DRAFT}{one.name}") for one in old if DRAFT not in one.name}
        for one, renamed in gone.items():
            one.rename(renamed)
    doomed = [*_artifacts(settings, first_kept, log, kept), *old, *stopped, *pictures]
    size = sum(_size(gone.get(one, one)) for one in doomed)
    for one in [] if dry_run else [gone.get(one, one) for one in doomed]:
        shutil.rmtree(one) if one.is_dir() else one.unlink(missing_ok=True)
    return Tidied(doomed, size)


def _kept(log: list[Entry], first_kept: str, settings: Settings) -> list[Entry]:
    """The publications that can be served again. The last of them is what serves now."""
    newest = list(dict.fromkeys(entry.bundle for entry in reversed(log)))[: settings.keep_bundles]
    models = list(dict.fromkeys(entry.model for entry in reversed(log)))[:2]
    last_of = [next(entry.bundle for entry in reversed(log) if entry.model == model) for model in models]
    before = publications.predecessor(log) if log else None
    stay = {*newest, *last_of, *([before.bundle] if before else [])}
    return [entry for entry in log if entry.bundle in stay or entry.day >= first_kept]


def _named(log: list[Entry], kept: list[Entry]) -> set[Path]:
    """Folders of the artifacts that publications name, and of their models' ancestors."""
    found = {Path(entry.table).parent for entry in kept}
    for entry in log:
        found |= {Path(address).parent for address in (entry.model, entry.decision) if address}
        address: str | None = entry.model
        while address:
            found.add(Path(address).parent)
            try:
                address = artifacts.read(address, check_files=False).parent
            except AdLensError:
                break  # an ancestor that is gone already has none that can be known
    return found


def _artifacts(settings: Settings, first_kept: str, log: list[Entry], kept: list[Entry]) -> list[Path]:
    """Folders <kind>/<day>/<key>."""
    named = _named(log, kept)
    folders = sorted(one for one in paths.artifacts(settings).glob("*/*/*") if one.is_dir())
    return [one for one in folders if one.parent.name < first_kept and one not in named]


def _bundles(settings: Settings, first_kept: str, log: list[Entry], kept: list[Entry]) -> list[Path]:
    """Drafts of killed publishers; bundles of old days that were never published; published ones that need not stay."""
    served, stay = {entry.bundle for entry in log}, {entry.bundle for entry in kept}
    found = abandoned(settings)
    for folder in sorted(one for one in paths.bundles(settings).glob("*") if one.is_dir()):
        info = folder / INFO
        if folder.name.startswith(".") or folder.name in stay or not info.is_file():
            continue
        if folder.name in served or _day_of(info) < first_kept:
            found.append(folder)
    return found


def _day_of(info: Path) -> str:
    return BundleInfo.model_validate_json(info.read_bytes()).day


def _pictures(settings: Settings) -> list[Path]:
    """Caches of decoded pictures that are full although the kept catalogues' pictures would fit: the rest is of old
    ones, and what is new has no room. They are made again from the landing folder's files."""
    where = paths.table(settings, "ads")
    if not DeltaTable.is_deltatable(where):
        return []
    known: set[str] = set()
    for batch in dataset(DeltaTable(where)).to_batches(columns=["image"]):
        known.update(name for name in batch.column("image").unique().to_pylist() if name)
    stale = [one for one, held in full_caches(settings.home_path / "pictures").items() if held > len(known)]
    return sorted(one.with_suffix(suffix) for one in stale for suffix in (".index", ".pixels"))


def _size(one: Path) -> int:
    files = one.rglob("*") if one.is_dir() else [one]
    return sum(file.stat().st_size for file in files if file.is_file())


def main(argv: Sequence[str]) -> int:
    """`python -m release tidy`: the release's part of maintenance, by the same days as the tables' part."""
    parser = argparse.ArgumentParser(prog="python -m release tidy", description=__doc__)
    keeping.add_day(parser)
    parser.add_argument("--dry-run", action="store_true", help="only say what would go, and bytes")
    asked, settings = parser.parse_args(argv), load()
    first_kept = keeping.first_kept(settings, keeping.counted_from(settings, asked.start, asked.at_latest))
    done = tidy(settings, first_kept.isoformat(), asked.dry_run)
    word = "would be removed" if asked.dry_run else "removed"
    print(f"release: {len(done.paths)} artifacts, bundles and decoded pictures, {done.size:,} bytes {word}", flush=True)
    return 0
