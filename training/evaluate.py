"""Scores a day's groups with a finished model, as benchmarks need it; the gate scores through serving's scorer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from contracts import paths
from contracts.settings import Settings
from training import reader
from training.columns import pictures_of
from training.model import LoadedModel, category_rows, load_model, tensors
from training.pictures import Pictures

GROUPS = "ad_groups"


@dataclass(frozen=True)
class Scored:
    """One entry an impression, in the table's order. `score`: predicted CTR."""

    impression_id: NDArray[np.object_]
    user_id: NDArray[np.object_]
    ad_id: NDArray[np.object_]
    label: NDArray[np.float32]
    score: NDArray[np.float64]


@torch.inference_mode()
def score_day(model: LoadedModel | Path | str, day: str, settings: Settings) -> Scored:
    """Each ad's vector is computed once a chunk, as a lookup table would hold it; an unknown ad gets the fallback."""
    loaded = model if isinstance(model, LoadedModel) else load_model(model)
    store = Pictures(settings, loaded.recipe.image_size)
    parts: list[tuple[NDArray[np.generic], ...]] = []
    for own in reader.chunks(reader.open_table(paths.table(settings, GROUPS)), day, loaded.features):
        rows = tensors(loaded.features, loaded.maps, own.codes)
        x_v = None
        if loaded.net.cnn is not None:
            pairs, picture_of = pictures_of(own)
            category_B = category_rows(loaded.maps, [code for _, code in pairs])
            x_v = loaded.net.cnn(store.load([image for image, _ in pairs]), category_B)[torch.from_numpy(picture_of)]
        scores = torch.sigmoid(loaded.net.dcn(rows, x_v).double()).numpy()
        parts.append((own.impression_id, own.user_id, own.ad_id, own.label, scores))
    return Scored(*(np.concatenate(column) for column in zip(*parts, strict=True)))
