"""Seven ways in which a challenger can be bad, made from the day's own model and tables.

Three are the day's weights, tampered with; three are trainings of the day's recipe on tables with a fault; one is the
day's model on stale features. Nothing here decides anything: the gate does (release/judging/gate_demo.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from contracts import artifacts, paths
from contracts.features import BY_NAME, feature_set
from contracts.rows import FIRST, RowMap, cross_codes, from_arrays
from contracts.settings import Settings
from release.publishing.candidate import MODEL_MAPS, MODEL_ROWS, MODEL_WEIGHTS, model_config
from training.recipes import Recipe

Weights = dict[str, NDArray[np.generic]]
Maps = Mapping[str, RowMap]
LEAKY = "c_user_ctr_7d"  # the column that the label leaks into
OVER_CONFIDENCE = 2.5  # times the logit


def random_weights(weights: Weights, maps: Maps, random: np.random.Generator) -> None:
    """Every weight of the DCN drawn anew, with the mean and the deviation that its layer had."""
    for name, array in weights.items():
        if name.startswith("dcn."):
            weights[name] = random.normal(array.mean(), array.std(), array.shape).astype(array.dtype)


def categories_permuted(weights: Weights, maps: Maps, random: np.random.Generator) -> None:
    """Each category takes another one's rows, in the DCN, its crosses and the CNN's prior: a vocabulary that was built
    twice, in another order. The reserved rows stay."""
    codes = maps["category_id"].table.astype(np.int64)
    other = np.roll(random.permutation(len(codes)), 1)
    rows, moved = len(codes) + FIRST, np.concatenate([np.arange(FIRST), FIRST + other])
    for name, array in weights.items():
        if name == "dcn.embedding.category_id.weight" or (name.startswith("cnn.") and array.shape[:1] == (rows,)):
            weights[name] = np.ascontiguousarray(array[moved])
    for feature in (BY_NAME[name] for name in maps):
        if feature.kind == "cross" and feature.of[1] == "category_id":
            beside = maps[feature.of[0]].table.astype(np.int64)
            here, there = (
                maps[feature.name].of_codes(crossed, np.ones(crossed.shape, np.bool_))
                for crossed in (cross_codes(*np.meshgrid(beside, of)) for of in (codes, codes[other]))
            )
            name = f"dcn.embedding.{feature.name}.weight"
            changed = weights[name].copy()
            changed[here] = weights[name][there]
            weights[name] = changed


def over_confident(weights: Weights, maps: Maps, random: np.random.Generator) -> None:
    """Logits too far apart: the order is as it was."""
    for name in ("dcn.out.weight", "dcn.out.bias"):
        weights[name] = (weights[name].astype(np.float64) * OVER_CONFIDENCE).astype(weights[name].dtype)


def tampered(
    model: Path, change: Callable[[Weights, Maps, np.random.Generator], None], settings: Settings
) -> Path:
    """Address of a copy of the model whose weights were changed; the rest of its manifest is the model's."""
    manifest, source = artifacts.read(model), model.parent
    inputs = {**manifest.inputs, "tampered": change.__name__}
    where = artifacts.fresh(artifacts.folder(paths.artifacts(settings), "model", manifest.day, inputs))
    for file in sorted(source.iterdir()):
        if file.name not in (artifacts.MANIFEST, MODEL_WEIGHTS):
            (where / file.name).write_bytes(file.read_bytes())
    weights = dict(load_file(source / MODEL_WEIGHTS))
    maps = from_arrays(json.loads((source / MODEL_MAPS).read_bytes()), load_file(source / MODEL_ROWS))
    change(weights, maps, np.random.default_rng(settings.seed))
    save_file(weights, where / MODEL_WEIGHTS)
    return artifacts.finish(where, manifest.model_copy(update={"inputs": inputs, "key": artifacts.digest(inputs)}))


def trained(model: Path, settings: Settings) -> Path:
    """A training of the model's recipe on the settings' tables, for the model's day, from a random start."""
    from training.train import train_day

    day = date.fromisoformat(artifacts.read(model).day)
    return train_day(day, settings, _recipe(model), lambda *_: None)


def trained_on_the_held_out_day(model: Path, settings: Settings) -> Path:
    """The next day's training, whose window holds the day, handed in as the day's."""
    from training.train import train_day

    day = artifacts.read(model).day
    next_day = date.fromisoformat(day) + timedelta(days=1)
    address = train_day(next_day, settings, _recipe(model), lambda *_: None)
    manifest = artifacts.read(address)
    return artifacts.finish(address.parent, manifest.model_copy(update={"day": day}))


def _recipe(model: Path) -> Recipe:
    return Recipe.model_validate(model_config(model.parent)["recipe"])


def labels_shifted(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Each impression with the label of the one before it in the file: a join that lost count."""
    return _with(batch, {"label": lambda inner: np.roll(_array(inner["label"]), 1)})


def label_leaked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The user's click rate counts the very click that is to be predicted."""

    def leaked(inner: dict[str, pa.Array]) -> NDArray[np.float64]:
        return 0.05 + 0.9 * _array(inner["label"]).astype(np.float64)

    return _with(batch, {LEAKY: leaked})


def features_of(old: pa.Table) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """Every ad's and user's codes as they stood in the groups of an older day; none where that day did not know it."""
    lists = old.column("impressions").combine_chunks()
    known = {name: column for name, column in zip(_names(lists), lists.flatten().flatten(), strict=True)}
    sides = {side: [f"c_{f.name}" for f in feature_set("production") if f.side == side] for side in ("ad", "user")}
    ids = old.column("ad_id").combine_chunks()

    def stale(batch: pa.RecordBatch) -> pa.RecordBatch:
        there = _names(batch.column("impressions"))

        def of_user(name: str) -> Callable[[dict[str, pa.Array]], object]:
            return lambda inner: known[name].take(pc.index_in(inner["user_id"], known["user_id"]))

        changed = _with(batch, {name: of_user(name) for name in sides["user"] if name in there and name != "c_user_id"})
        ad = pc.index_in(batch.column("ad_id"), ids)
        for name in sides["ad"]:
            if name in changed.schema.names and name != "c_ad_id":
                at = changed.schema.get_field_index(name)
                changed = changed.set_column(at, changed.schema.field(at), old.column(name).combine_chunks().take(ad))
        return changed

    return stale


def _names(lists: pa.ListArray) -> list[str]:
    return [field.name for field in lists.type.value_type]


def _array(column: pa.Array) -> NDArray[np.generic]:
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _with(
    batch: pa.RecordBatch, changes: dict[str, Callable[[dict[str, pa.Array]], object]]
) -> pa.RecordBatch:
    """The batch with some columns of its impressions made anew from the others."""
    lists = batch.column("impressions")
    structs, fields = lists.flatten(), list(lists.type.value_type)
    inner = dict(zip(_names(lists), structs.flatten(), strict=True))
    for name, made in changes.items():
        value = made(inner)
        inner[name] = value if isinstance(value, pa.Array) else pa.array(value, inner[name].type)
    rebuilt = pa.StructArray.from_arrays([inner[field.name] for field in fields], fields=fields)
    lengths = np.concatenate([[0], np.cumsum(lists.value_lengths().to_numpy(zero_copy_only=False))])
    again = pa.ListArray.from_arrays(pa.array(lengths, pa.int32()), rebuilt, type=lists.type)
    at = batch.schema.get_field_index("impressions")
    return batch.set_column(at, batch.schema.field(at), again)


def changed_batches(
    batches: Iterator[pa.RecordBatch], change: Callable[[pa.RecordBatch], pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield change(batch)
