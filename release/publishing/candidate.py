"""Writes bundle folders: the one place that turns a model's files and a lookup table into what is served."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from contracts import artifacts
from contracts.artifacts import file_digest, write_atomically
from contracts.bundle import FORMAT, INFO, ROWS, TABLE, WEIGHTS, BundleInfo
from contracts.errors import AdLensError, DamagedArtifact
from contracts.feature import to_json
from contracts.features import BY_NAME
from contracts.paths import bundles
from contracts.settings import Settings
from release.publishing.switch import sync_folder
from serving.checked import described, digest_of, remember
from serving.table import VisualTable

MODEL_WEIGHTS, MODEL_ROWS, MODEL_MAPS, MODEL_CONFIG = (
    "model.safetensors", "rows.safetensors", "rows.json", "config.json",
)  # fmt: skip

DRAFT = ".draft-"


def model_config(folder: Path) -> dict[str, Any]:
    """config.json of a model artifact: recipe, feature_set, features, visual_dimension, image_size."""
    try:
        config = json.loads((folder / MODEL_CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        raise DamagedArtifact(f"{folder / MODEL_CONFIG} cannot be read: {error}") from None
    assert isinstance(config, dict)
    return config


def dcn_weights(folder: Path) -> dict[str, NDArray[np.float32]]:
    """The DCN's weights of a model artifact, without their prefix, as float32."""
    arrays = load_file(folder / MODEL_WEIGHTS)
    kept = {n.removeprefix("dcn."): a.astype(np.float32) for n, a in arrays.items() if n.startswith("dcn.")}
    if not kept:
        raise DamagedArtifact(f"{folder / MODEL_WEIGHTS} holds no weight named dcn.*")
    return kept


def layers(weights: dict[str, NDArray[np.float32]], kind: str) -> int:
    """How many layers of a kind (deep, cross) the weights hold."""
    return len({name.split(".")[1] for name in weights if name.startswith(f"{kind}.")})


def write_candidate(
    folder: Path, day: str, model: Path, table_address: str, table: VisualTable, time_zone: str
) -> Path:
    """A bundle in an empty folder, from a model's manifest address and a table. Returns the folder."""
    source = model.parent
    weights, config = dcn_weights(source), model_config(source)
    save_file(weights, folder / WEIGHTS)
    shutil.copyfile(source / MODEL_ROWS, folder / ROWS)
    recipe = config["recipe"]
    info = BundleInfo(
        format=FORMAT,
        day=day,
        recipe=str(recipe["name"] if isinstance(recipe, dict) else recipe),
        feature_set=config["feature_set"],
        features=list(config["features"]),
        definitions={name: to_json(BY_NAME[name]) for name in config["features"]},
        row_maps=json.loads((source / MODEL_MAPS).read_bytes()),
        visual_dimension=int(config["visual_dimension"]),
        deep_layers=layers(weights, "deep"),
        cross_layers=layers(weights, "cross"),
        time_zone=time_zone,
        model=str(model),
        table=table_address,
        manifest=artifacts.read(model, check_files=False).model_dump(mode="json"),
    )
    return _finished(folder, info, table)


def with_table(folder: Path, old: Path, day: str, table_address: str, table: VisualTable) -> Path:
    """A bundle with the weights of another one, and a new table: the published form of what was scored."""
    info = BundleInfo.model_validate_json((old / INFO).read_bytes())
    for name in (WEIGHTS, ROWS):
        shutil.copyfile(old / name, folder / name)
        if file_digest(folder / name) != info.files[name]:
            raise DamagedArtifact(f"{old / name} is not what it was when it was judged, or was damaged on the way")
    return _finished(folder, info.model_copy(update={"day": day, "table": table_address}), table)


def _finished(folder: Path, info: BundleInfo, table: VisualTable) -> Path:
    table.save(folder / TABLE)
    files = {name: file_digest(folder / name) for name in (WEIGHTS, ROWS, TABLE)}
    complete = info.model_copy(update={"files": files})
    write_atomically(folder / INFO, complete.model_dump_json(indent=2) + "\n")
    return folder


@contextmanager
def draft_folder(settings: Settings) -> Iterator[Path]:
    """An empty folder beside the bundles, gone at the end unless it has been given a name. Raises AdLensError where
    there is no room; what a killed process leaves is removed by maintenance."""
    where = bundles(settings)
    where.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=where))
    draft.chmod(0o755)
    owned = os.open(draft, os.O_RDONLY)
    fcntl.flock(owned, fcntl.LOCK_EX)  # until this process ends, however it does: tidy.py leaves it alone
    try:
        yield draft
    except (OSError, SafetensorError) as error:
        raise AdLensError(
            f"the new bundle cannot be written to {where} ({error}); nothing was published: make room, then run the "
            "same again"
        ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(owned)


def abandoned(settings: Settings) -> list[Path]:
    """Drafts whose process has ended."""
    found = []
    for draft in sorted(bundles(settings).glob(f"{DRAFT}*")):
        handle = os.open(draft, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found.append(draft)
        except BlockingIOError:
            pass
        finally:
            os.close(handle)
    return found


def settle_bundle(draft: Path) -> Path:
    """Gives a finished draft its name, the digest of its content, once it is on the disk whole.

    Equal content that is there already stays, so that its readers keep what they have; if it was damaged meanwhile it
    makes way.
    """
    for file in sorted(draft.iterdir()):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    sync_folder(draft)
    named = draft.with_name(digest_of(draft))
    try:
        os.rename(draft, named)
    except OSError:
        if not named.exists():
            raise
        try:
            described(named)
        except AdLensError:
            os.rename(named, Path(tempfile.mkdtemp(prefix=f"{DRAFT}damaged-", dir=named.parent)) / named.name)
            os.rename(draft, named)
    sync_folder(named.parent)
    described(named)
    remember(named)
    return named
