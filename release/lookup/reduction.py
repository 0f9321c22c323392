"""How vectors are made smaller, and what that costs in AUC.

Fitted on what the training window knows: the catalogue at its end, each ad weighted by the impressions that the window
lets expect of it. The basis is the leading eigenvectors of the weighted covariance (PCA), so the mean squared error of
an impression's vector is the least that so many numbers allow; int8 has a scale a dimension, the largest value by 127.
"""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from deltalake import DeltaTable
from numpy.typing import NDArray

from contracts import artifacts, paths
from contracts.batch import CodeColumn
from contracts.days import Days
from contracts.settings import Settings
from release import delta
from release.lookup.catalogue import Catalogue
from release.lookup.vectors import Vectors
from release.publishing.candidate import write_candidate
from serving.bundle import Bundle, open_bundle
from serving.scorer import Scorer
from serving.table import ROWS_AT_ONCE, Codec, Codes, Floats, VisualTable, codes_of
from training.columns import Impressions, concatenate
from training.metrics.bootstrap import PERCENTILES, Resampled, paired_figures
from training.reader import chunks, days_with_groups

SAMPLES = 200  # of the bootstrap
FEW = 0.05  # a day of which fewer impressions than this share are of the catalogue's ads ends the search
SCORED_AT_ONCE = 8_192
SMALLEST = 1e-12


def fitted(
    storage: str, dimensions: int | None, vectors: Vectors, keys: Codes, weights: NDArray[np.float64]
) -> Codec:
    """The codec of pairs [n] that count `weights`. int8 always has a basis, of all dimensions if need be: it makes the
    ranges of the dimensions differ, which a scale a dimension uses."""
    width = vectors.dimension
    kept = min(dimensions or width, width)
    if width == 0 or (kept == width and storage != "int8"):
        return Codec(storage if width else "fp32")
    weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(keys), 1 / len(keys))
    parts = [slice(at, at + ROWS_AT_ONCE) for at in range(0, len(keys), ROWS_AT_ONCE)]
    mean, square = np.zeros(width), np.zeros((width, width))
    for part in parts:
        x = vectors.of(keys[part])[0].astype(np.float64)
        mean += weights[part] @ x
        square += (x * weights[part, None]).T @ x
    _, directions = np.linalg.eigh(square - np.outer(mean, mean))
    basis = directions.T[::-1][:kept]
    largest = basis[np.arange(kept), np.abs(basis).argmax(axis=1)]
    basis = basis * np.sign(largest)[:, None]  # an eigenvector's sign is anybody's choice
    codec = Codec("fp32", mean.astype(np.float32), np.ascontiguousarray(basis, np.float32))
    if storage != "int8":
        return dataclasses.replace(codec, storage=storage)
    ranges = np.max([np.abs(codec.reduced(vectors.of(keys[part])[0])).max(axis=0) for part in parts], axis=0)
    return dataclasses.replace(codec, storage="int8", scales=np.maximum(ranges / 127, SMALLEST).astype(np.float32))


@dataclass(frozen=True)
class Cost:
    """AUC with the model's own vectors (a) and as stored (b): on impressions of the table's ads, and of ads
    of the catalogue that are outside of it, which get their category's fallback. None where there were too few."""

    rows: int
    inside: Resampled | None
    rows_outside: int
    outside: Resampled | None

    @property
    def largest(self) -> float:
        """The AUC that storing may have cost: upper bound of the 95 % interval; infinite where it could not be told."""
        return float("inf") if self.inside is None else 0.0 - self.inside.bounds(PERCENTILES[0])[0]

    def figures(self) -> dict[str, float | int | None]:
        found: dict[str, float | int | None] = {"paired_rows": self.rows, "outside_rows": self.rows_outside}
        if self.inside:
            low, high = self.inside.bounds(*PERCENTILES)
            found |= {"auc_exact": self.inside.a, "auc_stored": self.inside.b}
            found |= {"auc_lost": 0.0 - self.inside.difference, "auc_lost_low": 0.0 - high, "auc_lost_high": 0.0 - low}
        if self.outside:
            found |= {"auc_outside_exact": self.outside.a, "auc_outside": self.outside.b}
        return found


def cost(
    model: Path, catalogue: Catalogue, vectors: Vectors, table: VisualTable, settings: Settings
) -> Cost:
    """On the latest impressions of the training window whose ads are still in the catalogue, at most the setting's.

    They are impressions that the model has been fitted on; what is asked is how far its order of them changes.
    """
    interval, address = artifacts.read(model, check_files=False).interval, paths.table(settings, "ad_groups")
    if interval is None or not delta.exists(address):
        return Cost(0, None, 0, None)
    exact, stored = _scorers(model, table, settings)
    most = settings.table_paired_rows
    rows = _window_rows(DeltaTable(address), Days.parse(*interval), catalogue, exact.bundle, most)
    if rows is None:
        return Cost(0, None, 0, None)
    order = np.argsort(catalogue.codes)
    codes = codes_of(rows.ad_id.tolist())
    keys = catalogue.keys[order[np.searchsorted(catalogue.codes[order], codes)]]
    looked_up, known = table.of_codes(codes, rows.codes["category_id"])
    a, b = scored(exact, rows, vectors.of(keys)[0]), scored(stored, rows, looked_up)

    def paired(of: NDArray[np.bool_]) -> Resampled | None:
        label = rows.label[of]
        if not 0 < label.sum() < len(label) or not np.isfinite([a[of], b[of]]).all():
            return None  # such a model is the gate's to refuse
        return paired_figures(label, a[of], b[of], rows.user_id[of].astype(str), SAMPLES, settings.seed)["auc"]

    return Cost(int(known.sum()), paired(known), int((~known).sum()), paired(~known))


def _scorers(model: Path, table: VisualTable, settings: Settings) -> tuple[Scorer, Scorer]:
    """Of the model's own vectors, and of the table's."""
    nothing = np.empty(0, np.int64)
    with tempfile.TemporaryDirectory() as folder:
        plain = VisualTable(nothing, np.zeros((1, table.visual_dimension), np.float32))
        made = write_candidate(Path(folder), "", model, "", plain, settings.time_zone)
        bundle = open_bundle(made, named=False)
        return Scorer(bundle), Scorer(dataclasses.replace(bundle, table=table))


def _window_rows(
    groups: DeltaTable, window: Days, catalogue: Catalogue, bundle: Bundle, most: int
) -> Impressions | None:
    """The latest day first; None where there is nothing."""
    sorted_codes, parts, found = np.sort(catalogue.codes), [], 0
    there = set(days_with_groups(groups))
    for day in reversed([one for one in window.texts() if one in there]):
        seen = kept = 0
        for rows in chunks(groups, day, bundle.features):
            codes = codes_of(rows.ad_id.tolist())
            at = np.minimum(np.searchsorted(sorted_codes, codes), len(sorted_codes) - 1)
            own = np.flatnonzero(sorted_codes[at] == codes)
            seen, kept = seen + len(rows), kept + len(own)
            if len(own):
                parts.append(rows.take(own))
        found += kept
        if found >= most or kept < FEW * seen:
            break
    if not found:
        return None
    whole = concatenate(parts)
    return whole.take(np.arange(min(most, len(whole))))


def scored(scorer: Scorer, rows: Impressions, visual: Floats) -> NDArray[np.float64]:
    """Click probabilities [N], a part at a time."""
    parts = []
    for at in range(0, len(rows), SCORED_AT_ONCE):
        part = np.arange(at, min(at + SCORED_AT_ONCE, len(rows)))
        columns: dict[str, CodeColumn] = {name: column.take(part) for name, column in rows.codes.items()}
        parts.append(scorer.score(scorer.rows(columns), visual[part]))
    return np.concatenate(parts)
