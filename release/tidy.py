"""What maintenance removes of the release's own files, and what it never touches.

Kept for ever: run reports (a few KB a day), the publication log and the gate's decisions in their tables, every bundle,
model, table and decision that the publication log names (so any publication can be served again), and the ancestors of
these models. Removed: artifacts, finished or not, and bundles of days before the first kept one that none of these
names, trainings of these days that were stopped and not gone on with, and caches of decoded pictures that are full of
some which the kept catalogues do not know.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable

from contracts import artifacts, paths
from contracts.delta_dataset import dataset
from contracts.errors import AdLensError
from contracts.settings import Settings
from release import publications
from training.picture_cache import full_caches


@dataclass(frozen=True)
class Tidied:
    """What went, or would go: files and folders, and their bytes."""

    paths: list[Path]
    size: int


def tidy(settings: Settings, first_kept: str, dry_run: bool = False) -> Tidied:
    """Removes what nobody needs of days before `first_kept`. A second call finds nothing."""
    with publications.alone(settings):
        stopped = [one for one in sorted(paths.checkpoints(settings).glob("*-*-*-*")) if one.name < first_kept]
        doomed = [*_artifacts(settings, first_kept), *_bundles(settings, first_kept), *stopped, *_pictures(settings)]
        size = sum(_size(one) for one in doomed)
        if not dry_run:
            for one in doomed:
                shutil.rmtree(one) if one.is_dir() else one.unlink(missing_ok=True)
    return Tidied(doomed, size)


def _named(settings: Settings) -> set[Path]:
    """Folders of the artifacts that publications name, and of their models' ancestors."""
    found: set[Path] = set()
    for entry in publications.read(settings):
        found |= {Path(address).parent for address in (entry.model, entry.table, entry.decision) if address}
        address: str | None = entry.model
        while address:
            found.add(Path(address).parent)
            try:
                address = artifacts.read(address, check_files=False).parent
            except AdLensError:
                break  # an ancestor that is gone already has none that can be known
    return found


def _artifacts(settings: Settings, first_kept: str) -> list[Path]:
    """Folders <kind>/<day>/<key>."""
    kept = _named(settings)
    folders = sorted(one for one in paths.artifacts(settings).glob("*/*/*") if one.is_dir())
    return [one for one in folders if one.parent.name < first_kept and one not in kept]


def _bundles(settings: Settings, first_kept: str) -> list[Path]:
    """Bundles of old days that were never published; a draft that was cut short has no day, and stays."""
    named = {entry.bundle for entry in publications.read(settings)}
    found = []
    for folder in sorted(one for one in paths.bundles(settings).glob("*") if one.is_dir() and one.name not in named):
        info = folder / "bundle.json"
        if info.is_file() and _day_of(info) < first_kept:
            found.append(folder)
    return found


def _day_of(info: Path) -> str:
    from contracts.bundle import BundleInfo

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
