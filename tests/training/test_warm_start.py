"""What of a parent is taken, and what makes a training begin without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from contracts.features import Feature, feature_set
from contracts.rows import RowMap, fit_hash
from training import model
from training.recipes import tiny
from training.warm_start import take_cnn

FEATURES = list(feature_set("daily"))
PRIOR = "backbone.layer1.0.attention1.channel.prior"


def made(*categories: int, features: list[Feature] = FEATURES, **update: object) -> tuple[model.CTRModel, dict]:
    maps = {one.name: fit_hash(one) for one in features}
    maps["category_id"] = RowMap("category_id", "vocabulary", 100, np.array(categories, np.int64))
    return model.CTRModel(tiny().model_copy(update=update), features, maps), maps


def saved(
    where: Path, *categories: int, features: list[Feature] = FEATURES, **update: object
) -> dict[str, torch.Tensor]:
    """A parent in the folder; returns its CNN's weights."""
    net, maps = made(*categories, features=features, **update)
    model.save(where, tiny().model_copy(update=update), features, maps, net, "UTC")
    assert net.cnn is not None
    return {name: value.clone() for name, value in net.cnn.state_dict().items()}


def test_priors_follow_the_category_not_its_row_and_the_dcn_stays(tmp_path: Path) -> None:
    source = saved(tmp_path, 10, 20, 30)
    net, maps = made(20, 25, 30)
    fresh = {name: value.clone() for name, value in net.state_dict().items()}
    assert take_cnn(net, maps, tmp_path) is None
    got = net.state_dict()
    assert torch.equal(got[f"cnn.{PRIOR}"][[0, 1, 2, 4]], source[PRIOR][[0, 1, 3, 4]])  # reserved rows, 20 and 30
    assert torch.equal(got[f"cnn.{PRIOR}"][3], fresh[f"cnn.{PRIOR}"][3])  # 25 is new
    for name, value in got.items():
        if not name.startswith("cnn."):
            assert torch.equal(value, fresh[name]), name
        elif not name.endswith(".prior"):
            assert torch.equal(value, source[name.removeprefix("cnn.")]), name


def test_a_parent_with_other_features_or_recipe_fields_gives_its_cnn(tmp_path: Path) -> None:
    fewer = [one for one in FEATURES if one.name not in ("gender", "gender_x_category", "title_words")]
    source = saved(tmp_path, 10, features=fewer, deep=(8,), image_size=32)
    config = json.loads((tmp_path / model.CONFIG).read_text())
    config["recipe"]["a_field_of_last_year"] = 1
    (tmp_path / model.CONFIG).write_text(json.dumps(config))
    net, maps = made(10)
    assert take_cnn(net, maps, tmp_path) is None and net.cnn is not None
    assert all(torch.equal(value, source[name]) for name, value in net.cnn.state_dict().items())


def _without(file: str) -> Callable[[Path], None]:
    return lambda where: (where / file).unlink()


def _old_names(where: Path) -> None:
    weights = safetensors.torch.load_file(where / model.WEIGHTS_FILE)
    safetensors.torch.save_file({f"net.{name}": w for name, w in weights.items()}, where / model.WEIGHTS_FILE)


@pytest.mark.parametrize(
    "update, change, words",
    [
        ({"width": 16}, None, "another size: backbone.conv1.weight is (16, 3, 7, 7), in the recipe (8, 3, 7, 7)"),
        ({"visual_dimension": 4}, None, "another size: head.weight"),
        ({"prior_channels": 10}, None, "another size"),
        ({"backbone": "inception_v1"}, None, "another one"),
        ({"attention": "none"}, None, "is only in the recipe's"),
        ({}, _old_names, "the parent has no CNN"),
        ({}, _without(model.ROWS_JSON), "another version: FileNotFoundError"),
        ({}, _without(model.WEIGHTS_FILE), "another version"),
        ({}, lambda where: (where / model.ROWS_JSON).write_text("[]"), "another version"),
        ({}, lambda where: (where / model.ROWS_JSON).write_text("{}"), "another version: KeyError"),
    ],
)
def test_what_cannot_be_taken_is_said_and_nothing_is(
    tmp_path: Path, update: dict[str, object], change: Callable[[Path], None] | None, words: str
) -> None:
    saved(tmp_path, 10, 20, **update)
    if change:
        change(tmp_path)
    net, maps = made(10, 20)
    fresh = {name: value.clone() for name, value in net.state_dict().items()}
    assert words in str(take_cnn(net, maps, tmp_path))
    assert all(torch.equal(value, fresh[name]) for name, value in net.state_dict().items())


def test_a_parent_with_attention_is_not_half_taken_by_a_recipe_without(tmp_path: Path) -> None:
    saved(tmp_path, 10)
    net, maps = made(10, attention="none")
    assert "is only in the parent's" in str(take_cnn(net, maps, tmp_path))
