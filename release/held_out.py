"""Day D's impressions for the gate: labels, users and codes as they were logged, and the scores of a bundle on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from deltalake import DeltaTable
from numpy.typing import NDArray

from contracts.batch import CodeColumn
from contracts.errors import MissingArtifact
from contracts.features import Feature, coded
from contracts.settings import Settings
from release.rule import HeldOut, Scores
from serving.bundle import Bundle
from serving.scorer import Scorer
from training.columns import Impressions, concatenate
from training.reader import chunks

AT_ONCE = 8_192


def read_day(ad_groups: DeltaTable, day: str, features: Sequence[Feature]) -> Impressions:
    """The day's impressions, ordered by id so that a rewritten partition gives the same order; of the columns those
    that `features` need, of every model that is to be scored."""
    parts = list(chunks(ad_groups, day, features))
    if not parts:
        raise MissingArtifact(f"ad_groups holds nothing of {day}; run the stage groups for that day")
    rows = concatenate(parts)
    return rows.take(np.argsort(rows.impression_id.astype(str), kind="stable"))


def held_out(rows: Impressions) -> HeldOut:
    return HeldOut(rows.impression_id, rows.user_id, rows.label.astype(np.float64))


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
