"""Writes bundle folders: the one place that turns a model's files and a lookup table into what is served."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from contracts.artifacts import file_digest, write_atomically
from contracts.bundle import FORMAT, INFO, ROWS, TABLE, WEIGHTS, BundleInfo
from contracts.errors import DamagedArtifact
from contracts.paths import bundles
from contracts.settings import Settings
from serving.bundle import digest_of
from serving.table import VisualTable

MODEL_WEIGHTS, MODEL_ROWS, MODEL_MAPS, MODEL_CONFIG = (
    "model.safetensors", "rows.safetensors", "rows.json", "config.json",
)  # fmt: skip


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
        row_maps=json.loads((source / MODEL_MAPS).read_bytes()),
        visual_dimension=int(config["visual_dimension"]),
        deep_layers=layers(weights, "deep"),
        cross_layers=layers(weights, "cross"),
        time_zone=time_zone,
        model=str(model),
        table=table_address,
    )
    return _finished(folder, info, table)


def with_table(folder: Path, old: Path, day: str, table_address: str, table: VisualTable) -> Path:
    """A bundle with the weights of another one, and a new table: the published form of what was scored."""
    for name in (WEIGHTS, ROWS):
        shutil.copyfile(old / name, folder / name)
    info = BundleInfo.model_validate_json((old / INFO).read_bytes())
    return _finished(folder, info.model_copy(update={"day": day, "table": table_address}), table)


def _finished(folder: Path, info: BundleInfo, table: VisualTable) -> Path:
    table.save(folder / TABLE)
    files = {name: file_digest(folder / name) for name in (WEIGHTS, ROWS, TABLE)}
    complete = info.model_copy(update={"files": files})
    write_atomically(folder / INFO, complete.model_dump_json(indent=2) + "\n")
    return folder


def draft_folder(settings: Settings) -> Path:
    """An empty folder beside the bundles, of this process only."""
    draft = bundles(settings) / f".draft-{os.getpid()}"
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(parents=True)
    return draft


def settle_bundle(draft: Path) -> Path:
    """Gives a finished draft its name, the digest of its content. Equal content that is there already stays."""
    named = draft.with_name(digest_of(draft))
    if named.exists():
        shutil.rmtree(draft)
        return named
    os.replace(draft, named)
    return named
