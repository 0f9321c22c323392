"""Percentile bootstrap by user: of one model's figures, and of two models' AUC on the same rows.

Users are drawn, not impressions: a user's impressions hang together. Over pooled days or seeds a user is one user, with
the rows of all of them. A sample is a weight a user, how often it was drawn, so nothing is copied or sorted again:
a sample costs one pass over the rows, and one sample at a time is held in memory.

Shapes: N impressions, U users, R samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from training.metrics.likelihood import loss_of_rows
from training.metrics.ranking import Ranked, gauc_parts
from training.metrics.rows import Integers, checked, checked_probabilities, numbered

PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Interval:
    """A figure with the bootstrap's 95 % interval; NaN bounds if a sample had no value."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """AUC(b) - AUC(a) with the bootstrap's 95 % interval and its one-sided 95 % lower bound."""

    auc_a: float
    auc_b: float
    difference: float
    low: float
    high: float
    one_sided_low: float


def drawn(users: int, samples: int, seed: int) -> Iterator[Integers]:
    """`samples` times: how often each of the users [U] was drawn in U draws with replacement."""
    random = np.random.default_rng(seed)
    for _ in range(samples):
        yield np.bincount(random.integers(0, users, users, dtype=np.int32), minlength=users)


def paired_bootstrap(
    labels: ArrayLike, a: ArrayLike, b: ArrayLike, users: ArrayLike, samples: int = 1000, seed: int = 0
) -> Paired:
    """Both models under the same samples, so that what a user adds to both cancels. NaN bounds if a sample has one."""
    names, user_of = numbered(users)
    ranked_a, ranked_b = (Ranked(*checked(labels, scores), user_of) for scores in (a, b))
    one_each = np.ones(len(names), np.int64)
    auc_a, auc_b = ranked_a.auc(one_each), ranked_b.auc(one_each)
    differences = [ranked_b.auc(weights) - ranked_a.auc(weights) for weights in drawn(len(names), samples, seed)]
    low, one_sided, high = np.percentile(differences, [PERCENTILES[0], 5, PERCENTILES[1]])
    return Paired(auc_a, auc_b, auc_b - auc_a, float(low), float(high), float(one_sided))


def bootstrap(
    labels: ArrayLike, scores: ArrayLike, users: ArrayLike, samples: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """`auc`, `gauc` (by impressions), `log_loss` and `calibration` of one model, each with its interval."""
    clicked, score = checked_probabilities(labels, scores)
    names, user_of = numbered(users)
    ranked = Ranked(clicked, score, user_of)
    # All but AUC are ratios of sums over users: a sample's are its weights times the users' sums.
    sums_6U = np.stack(
        [np.bincount(user_of, weight, len(names)) for weight in (None, clicked, loss_of_rows(clicked, score), score)]
        + list(gauc_parts(clicked, score, user_of, len(names)))
    ).astype(np.float64)

    def figures(weights: Integers) -> list[float]:
        # No `@`: BLAS's threads wait for each other on busy cores, ten times as long as the product takes.
        rows, clicks, loss, predicted, within, weight = np.einsum("ku,u->k", sums_6U, weights.astype(np.float64))
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = np.array([within, loss]) / np.array([weight, rows])
            calibrated = predicted / clicks if clicks else float("nan")
        return [ranked.auc(weights), *ratios, calibrated]

    values = figures(np.ones(len(names), np.int64))
    bounds = np.percentile([figures(weights) for weights in drawn(len(names), samples, seed)], PERCENTILES, axis=0)
    found = zip(("auc", "gauc", "log_loss", "calibration"), values, bounds.T, strict=True)
    return {name: Interval(float(value), float(low), float(high)) for name, value, (low, high) in found}
