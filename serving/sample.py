"""A fixed sample of scored items: written by the gate, scored again by a fresh process before a bundle is published.

A safetensors file with `codes.<feature>` and `present.<feature>` (contracts.batch.CodeColumn), `visual` float32
[N, k] (the vectors that the gate used) and `scores` float64 [N] (what it got).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from contracts.batch import CodeColumn
from contracts.errors import DamagedArtifact
from serving.bundle import Bundle
from serving.scorer import Scorer

TOLERANCE = 1e-6  # BLAS may sum in another order; anything more is another model


def write_sample(
    path: Path,
    columns: Mapping[str, CodeColumn],
    visual: NDArray[np.float32],
    scores: NDArray[np.floating],
) -> None:
    arrays: dict[str, NDArray[np.generic]] = {"visual": visual, "scores": scores}
    for name, column in columns.items():
        arrays[f"codes.{name}"] = column.codes
        arrays[f"present.{name}"] = column.present
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def check_sample(bundle: Bundle, path: Path) -> tuple[int, float]:
    """(items, largest difference). Raises DamagedArtifact where the bundle does not score as the gate saw."""
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedArtifact(f"{path} is no sample: {error}") from None
    columns = {
        name.removeprefix("codes."): CodeColumn(array, arrays["present." + name.removeprefix("codes.")])
        for name, array in arrays.items()
        if name.startswith("codes.")
    }
    scorer = Scorer(bundle)
    scores = scorer.score(scorer.rows(columns), arrays["visual"])
    if not np.all(np.isfinite(scores)):
        raise DamagedArtifact(f"{bundle.folder}: {int((~np.isfinite(scores)).sum())} scores of {path} are not finite")
    worst = float(np.max(np.abs(scores - arrays["scores"]), initial=0.0))
    if worst > TOLERANCE:
        raise DamagedArtifact(f"{bundle.folder} scores {path} up to {worst:.2e} away from what the gate saw")
    bundle.table.check()
    return len(scores), worst
