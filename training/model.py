"""DCN + CSCNN as one model, its files, and what the lookup table asks of it.

Files of a model artifact: model.safetensors (names dcn.* as contracts.bundle's WEIGHTS, cnn.*), rows.safetensors,
rows.json (contracts.rows), config.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contracts.artifacts import write_atomically
from contracts.batch import CodeColumn, rows_of
from contracts.errors import DamagedArtifact, MissingArtifact
from contracts.features import Feature, feature_set
from contracts.rows import RowMap, describe, from_arrays, to_arrays
from contracts.settings import Settings
from training.batch import Batch
from training.cscnn import CSCNN
from training.dcn import DCN
from training.pictures import Pictures
from training.prefetch import Prefetch
from training.recipes import Recipe

WEIGHTS_FILE, ROWS_FILE, ROWS_JSON, CONFIG = "model.safetensors", "rows.safetensors", "rows.json", "config.json"


class CTRModel(nn.Module):
    """Shapes: B pictures, N impressions, V = d_v. A picture is embedded once and its vector shared (C27)."""

    def __init__(self, recipe: Recipe, features: Sequence[Feature], maps: Mapping[str, RowMap]):
        super().__init__()
        self.dcn = DCN(features, maps, recipe.d_v, recipe.deep, recipe.cross_layers, recipe.cross_input)
        self.cnn = CSCNN(recipe, maps["category_id"].rows) if recipe.d_v else None
        self.alone = nn.Linear(recipe.d_v, 1) if recipe.d_v and recipe.picture_loss else None  # drawn last

    def forward(self, batch: Batch, features_BF: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Logits [N], and those of the pictures alone [N] where training asks for them (the recipe's picture_loss).

        `features_BF`: of the batch's pictures, where the backbone has seen them before.

        Raises ValueError for a batch whose pictures were not loaded, where there is a CNN that needs them.
        """
        if self.cnn is None:
            return self.dcn(batch.context, None, batch.shared), None
        if features_BF is not None:
            x_v_BV = self.cnn.head(features_BF)
        elif batch.pictures_B3SS is not None:
            x_v_BV = self.cnn(batch.pictures_B3SS, batch.category_B)
        else:
            raise ValueError("the batch has no pixels; training.prefetch loads them")
        alone_N = None if self.alone is None else self.alone(x_v_BV).squeeze(1)[batch.picture_of_N]
        return self.dcn(batch.context, x_v_BV[batch.picture_of_N], batch.shared), alone_N


@dataclass(frozen=True)
class LoadedModel:
    """A finished model, in eval mode."""

    recipe: Recipe
    features: list[Feature]
    maps: dict[str, RowMap]
    net: CTRModel
    config: dict[str, object]


def category_rows(maps: Mapping[str, RowMap], codes: Sequence[int | None]) -> Tensor:
    """Rows of the category_id RowMap, int64 [n]; None gives the reserved row (C12)."""
    present = np.array([code is not None for code in codes], np.bool_)
    values = np.array([code or 0 for code in codes], np.int64)
    return torch.from_numpy(maps["category_id"].of_codes(values, present))


def tensors(
    features: Sequence[Feature], maps: Mapping[str, RowMap], codes: Mapping[str, CodeColumn]
) -> dict[str, Tensor]:
    """Rows of flat columns, an entry an impression, nothing shared."""
    rows = rows_of(features, maps, codes)
    return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in rows.items()}


def save(
    where: Path, recipe: Recipe, features: Sequence[Feature], maps: Mapping[str, RowMap], net: CTRModel, time_zone: str
) -> None:
    weights = {name: value.contiguous() for name, value in net.state_dict().items()}
    safetensors.torch.save_file(weights, where / WEIGHTS_FILE)
    safetensors.numpy.save_file(to_arrays(maps), where / ROWS_FILE)
    write_atomically(where / ROWS_JSON, json.dumps(describe(maps), indent=2) + "\n")
    config = {
        "recipe": recipe.model_dump(mode="json"),
        "feature_set": recipe.feature_set,
        "features": [feature.name for feature in features],
        "visual_dimension": recipe.d_v,
        "image_size": recipe.image_size,
        "deep_layers": len(recipe.deep),
        "cross_layers": recipe.cross_layers,
        "time_zone": time_zone,
    }
    write_atomically(where / CONFIG, json.dumps(config, indent=2) + "\n")


def load_model(model_dir: Path | str) -> LoadedModel:
    """From a model artifact's folder. Raises MissingArtifact or DamagedArtifact."""
    where = Path(model_dir)
    for name in (WEIGHTS_FILE, ROWS_FILE, ROWS_JSON, CONFIG):
        if not (where / name).is_file():
            raise MissingArtifact(f"{where} is no model: {name} is missing; run the stage `train` first")
    try:
        config = json.loads((where / CONFIG).read_bytes())
        recipe = Recipe.model_validate(config["recipe"])
        arrays = safetensors.numpy.load_file(where / ROWS_FILE)
        maps = from_arrays(json.loads((where / ROWS_JSON).read_bytes()), arrays)
        features = list(feature_set(recipe.feature_set))
        net = CTRModel(recipe, features, maps)
        net.load_state_dict(safetensors.torch.load_file(where / WEIGHTS_FILE))
    except (ValueError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
        raise DamagedArtifact(f"{where} does not hold a model of this version: {error}") from None
    return LoadedModel(recipe, features, maps, net.eval(), config)


def embed_pictures(
    model_dir: Path | str,
    pairs: Sequence[tuple[str | None, int | None]],
    settings: Settings,
    model: LoadedModel | None = None,
    at_once: int = 64,
) -> NDArray[np.float32]:
    """`embedded`, all at once: float32 [n, d_v]."""
    model = model or load_model(model_dir)
    parts = embedded(model, pairs, settings, Pictures(settings, model.recipe.image_size), at_once)
    return np.concatenate([np.zeros((0, model.recipe.d_v), np.float32), *parts])


def embedded(
    model: LoadedModel,
    pairs: Iterable[tuple[str | None, int | None]],
    settings: Settings,
    pictures: Pictures,
    at_once: int = 64,
) -> Iterator[NDArray[np.float32]]:
    """x_v of (picture digest, category code) pairs, float32 [up to at_once, d_v] a time; (None, None) is the fallback.

    In eval mode, on the settings' device; pictures are loaded while the CNN works on those before them. A vector does
    not depend on its batch-mates beyond rounding.
    """
    own = iter(pairs)
    groups = iter(lambda: list(islice(own, at_once)), [])
    cnn = model.net.cnn
    if cnn is None:
        yield from (np.zeros((len(group), 0), np.float32) for group in groups)
        return
    cnn.to(settings.device)

    def ready(group: list[tuple[str | None, int | None]]) -> tuple[Tensor, Tensor]:
        return pictures.load([image for image, _ in group]), category_rows(model.maps, [code for _, code in group])

    with Prefetch(groups, ready, 2) as loaded:
        for pixels, rows in loaded:
            with torch.inference_mode():
                yield cnn(pixels.to(settings.device), rows.to(settings.device)).cpu().numpy()


def other_than(parent: LoadedModel, recipe: Recipe, features: Sequence[Feature]) -> str | None:
    """Why a model of this recipe cannot go on with all of the parent's weights and rows; None where it can."""
    names, theirs = [feature.name for feature in features], parent.config["features"]
    if names != theirs:
        return f"the parent has the features {theirs}, the recipe {names}"
    old, own = (
        {name: weight.shape for name, weight in net.state_dict().items()}
        for net in (parent.net, CTRModel(recipe, features, parent.maps))
    )
    other = [name for name in {**old, **own} if old.get(name) != own.get(name)]
    return f"the parent has another shape at {other[0]}" if other else None
