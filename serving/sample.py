"""A fixed sample of scored items: written before a bundle is published, scored again by a fresh process.

A safetensors file with `codes.<feature>` and `present.<feature>` (contracts.batch.CodeColumn), `visual` float32
[N, k] (the vectors that were used), `scores` float64 [N] (what they gave), `ads` int64 [N] (the ads' codes in a lookup
table) and `same` bool [N]: the ad was in the table that was used, and has the same picture and category in the
catalogue of the new one. Its vector must then be found in the new table, but for a step of the storage.
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
from serving.table import Codes

TOLERANCE = 1e-6  # BLAS may sum in another order; anything more is another model
NEEDED = frozenset(("visual", "scores", "ads", "same"))


def write_sample(
    path: Path,
    columns: Mapping[str, CodeColumn],
    visual: NDArray[np.float32],
    scores: NDArray[np.floating],
    ads: Codes,
    same: NDArray[np.bool_],
) -> None:
    arrays: dict[str, NDArray[np.generic]] = {"visual": visual, "scores": scores, "ads": ads, "same": same}
    for name, column in columns.items():
        arrays[f"codes.{name}"] = column.codes
        arrays[f"present.{name}"] = column.present
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def check_sample(bundle: Bundle, path: Path) -> tuple[int, float]:
    """(items, largest difference). Raises DamagedArtifact where the bundle does not score as whoever wrote the sample,
    or its table gives an ad another vector."""
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedArtifact(f"{path} is no sample: {error}") from None
    if not NEEDED <= arrays.keys():
        lacking = ", ".join(sorted(NEEDED - arrays.keys()))
        raise DamagedArtifact(f"{path} is no sample of this version: it lacks {lacking}; run the stage gate again")
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
    _check_vectors(bundle, arrays["ads"][arrays["same"]], arrays["visual"][arrays["same"]])
    bundle.table.check()
    return len(scores), worst


def _check_vectors(bundle: Bundle, ads: Codes, wanted: NDArray[np.float32]) -> None:
    """An ad that the budget has left out meanwhile says nothing; all of them would be another catalogue's table."""
    found, known = bundle.table.of_codes(ads)
    if len(ads) and not known.any():
        raise DamagedArtifact(f"{bundle.folder}: none of the {len(ads)} ads looked up is in its table")
    off = np.abs(found - wanted) > bundle.table.codec.step(wanted)
    wrong = np.unique(ads[known & off.any(axis=1)])
    if len(wrong):
        raise DamagedArtifact(
            f"{bundle.folder}: the table gives {len(wrong)} of {len(np.unique(ads[known]))} ads looked up another "
            "vector than before, though picture and category are the same"
        )
