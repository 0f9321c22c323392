"""`adlens repeat RUN`: trains a model once more from its manifest alone, and compares every bit.

Everything is read as it was: the group table at its version, the pictures by their digests, the parent by its own. What
is gone is named before anything is computed. The model is made in a home of its own; nothing in this one changes.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import date
from pathlib import Path

from contracts import artifacts, paths
from contracts.artifacts import Manifest
from contracts.days import Days
from contracts.delta_dataset import dataset
from contracts.errors import AdLensError, DamagedArtifact, InputError, MissingArtifact
from contracts.settings import Settings
from release.publishing import publications
from release.publishing.candidate import model_config
from release.versions.repeating import repeatable


def manifest_of(run: str, settings: Settings) -> Path:
    """Address of a model's manifest by that address, by MLflow's run id, or by MLflow's version.

    MLflow itself is asked last, for a version that never served. Raises InputError for what is none of them.
    """
    if run.endswith(artifacts.MANIFEST):
        return Path(run)
    for address in _models(settings):
        if artifacts.read(address, check_files=False).figures.get("mlflow_run_id") == run:
            return address
    for entry in publications.read(settings):
        if entry.version == run:
            return Path(entry.model)
    if run.isdigit():
        from release.versions.requests import model_address

        return model_address(run, settings)
    raise InputError(f"no model of run {run} is kept; give a version of `adlens models list` or a manifest's address")


def repeat(address: Path, settings: Settings, keep: Path | None = None) -> str:
    """What was compared, in a sentence. `keep`: where the new model's files are left.

    Raises MissingArtifact naming the input that is gone, DamagedArtifact where the new model is another one, and before
    anything is computed InputError where `keep` is there already.
    """
    from training.job import code_version
    from training.recipes import Recipe
    from training.train import train_day

    if keep is not None and keep.exists():
        raise InputError(f"--keep {keep} is there already; name a folder that is not: the new model's files make it")
    old = artifacts.read(address)
    if old.kind != "model" or old.interval is None:
        raise InputError(f"{address} is the manifest of a {old.kind}; a model's is needed")
    if old.figures.get("processes", 1) != 1:
        raise InputError(
            f"{address} was trained by {old.figures['processes']} processes, this is one: sums round otherwise"
        )
    table, version = next(iter(old.versions.items()))
    _check_inputs(address, old, settings)
    parent = _parent(old, settings)
    recipe = Recipe.model_validate(model_config(address.parent)["recipe"])
    day, (start, _) = date.fromisoformat(old.day), old.interval
    with tempfile.TemporaryDirectory(prefix="adlens-repeat-") as folder:
        own = settings.model_copy(
            update={
                "home": Path(folder), "tables": settings.tables or str(settings.home_path / "tables"),
                "landing": settings.landing_path, "mlflow_uri": None, "seed": int(old.inputs["seed"]),
                "time_zone": old.inputs["time_zone"], "window_days": (day - date.fromisoformat(start)).days,
                "min_training_days": 1, "device": "cpu",
            }
        )  # fmt: skip
        made = train_day(day, own, recipe, lambda *_: parent, version=version)
        new = artifacts.read(made)
        differ = sorted(name for name in old.files if new.files.get(name) != old.files[name])
        if keep is not None:
            shutil.copytree(made.parent, keep)
    if not differ:
        return f"{len(old.files)} files of {old.day}'s model are equal to the last bit ({table}@{version})"
    code = "" if old.inputs["code"] == code_version() else "; the code has changed since, check out that of its day"
    raise DamagedArtifact(f"the model of {old.day} came out otherwise in {', '.join(differ)}{code}")


def _check_inputs(address: Path, old: Manifest, settings: Settings) -> None:
    gone = repeatable(old, settings)
    if gone:
        raise MissingArtifact(f"{address} cannot be repeated: {gone}")
    lost = _lost_pictures(old, settings)
    if len(lost) > old.rows.get("unreadable_pictures", 0):
        raise MissingArtifact(
            f"{address} cannot be repeated: {len(lost)} of its pictures are not in {paths.images(settings)} any more, "
            f"{lost[0]}.jpg for one"
        )


def _lost_pictures(old: Manifest, settings: Settings) -> list[str]:
    from training.reader import open_table

    assert old.interval is not None
    days = Days(*(date.fromisoformat(text) for text in old.interval)).texts()
    wanted: set[str] = set()
    for name, version in old.versions.items():
        table = open_table(paths.table(settings, name), version)
        if "image" in {field.name for field in table.schema().fields}:  # of user groups, it lies in the impressions
            for batch in dataset(table, days).to_batches(columns=["image"]):
                wanted.update(image for image in batch.column("image").unique().to_pylist() if image)
    return sorted(image for image in wanted if not (paths.images(settings) / f"{image}.jpg").is_file())


def _parent(old: Manifest, settings: Settings) -> Path | None:
    """The parent by its manifest's digest: it counts even where its CNN did not fit."""
    wanted = old.inputs["parent"]
    if wanted == "none":
        return None
    named = [Path(old.parent)] if old.parent else []
    for address in (*named, *_models(settings)):
        if address.is_file() and artifacts.file_digest(address) == wanted:
            try:
                artifacts.read(address)
            except AdLensError as error:
                raise MissingArtifact(f"it cannot be repeated: its parent is damaged: {error}") from None
            return address
    raise MissingArtifact(f"it cannot be repeated: its parent {old.parent or ''} (digest {wanted[:12]}) is gone")


def _models(settings: Settings) -> list[Path]:
    return sorted((paths.artifacts(settings) / "model").glob(f"*/*/{artifacts.MANIFEST}"))
