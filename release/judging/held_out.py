"""Day D's impressions for the gate: labels, users and codes as they were logged; a bundle's scores and cost on them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from deltalake import DeltaTable
from numpy.typing import NDArray

from contracts.batch import CodeColumn
from contracts.errors import MissingArtifact
from contracts.features import BY_NAME, Feature, coded
from contracts.settings import Settings
from release.judging.day_slices import COLD
from release.judging.evidence import Scores, Service
from serving.bundle import Bundle
from serving.scorer import Scorer
from training.columns import Impressions, concatenate
from training.reader import chunks

AT_ONCE = 8_192
REQUEST, TRIES = 1_000, 15  # ads of a timed request, and how often it is sent


def read_day(ad_groups: DeltaTable, day: str, features: Sequence[Feature]) -> Impressions:
    """The day's impressions, ordered by id so that a rewritten partition gives the same order; of the columns those
    that `features` need, of every model that is to be scored, and those that say who is cold."""
    parts = list(chunks(ad_groups, day, (*features, *(BY_NAME[name] for name in COLD.values()))))
    if not parts:
        raise MissingArtifact(f"ad_groups holds nothing of {day}; run the stage groups for that day")
    rows = concatenate(parts)
    return rows.take(np.argsort(rows.impression_id.astype(str), kind="stable"))


def columns_of(bundle: Bundle, rows: Impressions) -> dict[str, CodeColumn]:
    """The code columns that the bundle's features need, sides of crosses included."""
    return {feature.name: rows.codes[feature.name] for feature in coded(bundle.features)}


def score(name: str, bundle: Bundle, rows: Impressions) -> tuple[Scores, NDArray[np.bool_]]:
    """(scores, whether the ad was in the bundle's table) by the predictor's own arithmetic."""
    scorer, columns = Scorer(bundle), columns_of(bundle, rows)
    ads, first_row, of = np.unique(rows.ad_id.astype(str), return_index=True, return_inverse=True)
    visual, known = bundle.table.of(ads.tolist(), rows.codes["category_id"].take(first_row))
    values = []
    for first in range(0, len(rows), AT_ONCE):
        part = np.arange(first, min(first + AT_ONCE, len(rows)))
        taken = {feature: column.take(part) for feature, column in columns.items()}
        values.append(scorer.score(scorer.rows(taken), visual[of[part]]))
    return Scores(name, rows.impression_id, np.concatenate(values)), known[of]


def visual_of(bundle: Bundle, rows: Impressions) -> NDArray[np.float32]:
    return bundle.table.of(rows.ad_id.tolist(), rows.codes["category_id"])[0]


def service_of(bundle: Bundle, rows: Impressions, known: NDArray[np.bool_]) -> Service:
    """What serving the bundle takes. Each item of the timed request brings a user of its own: an upper bound."""
    part = rows.take(np.arange(min(REQUEST, len(rows))))
    scorer, columns = Scorer(bundle), columns_of(bundle, part)
    seconds = []
    for _ in range(TRIES):
        started = time.perf_counter()
        scorer.score(scorer.rows(columns), visual_of(bundle, part))
        seconds.append(time.perf_counter() - started)
    size = sum(file.stat().st_size for file in bundle.folder.rglob("*") if file.is_file())
    return Service(float(known.mean()), float(size), min(seconds) * 1000 * REQUEST / len(part))


def best_possible(settings: Settings, day: str, rows: Impressions) -> float | None:
    """AUC of the true probabilities, where the generator left them. For summaries; the verdict never sees it."""
    from training.metrics import auc
    from training.truth import true_probabilities

    true = true_probabilities(settings, [day], rows.impression_id)
    if true is None:
        return None
    known = np.isfinite(true)
    if not known.any():
        return None
    value = auc(rows.label[known], true[known])
    return value if np.isfinite(value) else None
