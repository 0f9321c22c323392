"""AUC, GAUC, log loss, calibration, and the paired bootstrap by user. numpy only.

Shapes: N impressions, U users, R bootstrap samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def auc(labels: Floats, scores: Floats, weights: Floats | None = None) -> float:
    """Share of (click, no click) pairs in the right order, a tie counting half; NaN with one class only."""
    weights = np.ones(len(labels)) if weights is None else weights
    return float(_Ranked(labels, scores).auc(np.asarray(weights, np.float64)[:, None])[0])


class _Ranked:
    """Scores sorted once; then the AUC of any weighting is two cumulative sums."""

    def __init__(self, labels: Floats, scores: Floats):
        self.order = np.argsort(scores, kind="stable")
        ranked = np.asarray(scores)[self.order]
        self.starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])  # of runs of equal scores
        self.clicked = np.asarray(labels, np.float64)[self.order][:, None]

    def auc(self, weights_NR: Floats) -> Floats:
        """AUC [R] of each column of weights."""
        weights_NR = weights_NR[self.order]
        positive = np.add.reduceat(weights_NR * self.clicked, self.starts)
        negative = np.add.reduceat(weights_NR * (1 - self.clicked), self.starts)
        below = np.cumsum(negative, 0) - negative / 2
        pairs = positive.sum(0) * negative.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(pairs > 0, (positive * below).sum(0) / pairs, np.nan)


def gauc(labels: Floats, scores: Floats, users: NDArray[np.generic]) -> float:
    """Mean of the users' AUCs, weighted by their impressions; users with one class are left out; NaN where all are."""
    _, user_of = np.unique(users, return_inverse=True)
    order = np.argsort(user_of, kind="stable")
    total = weight = 0.0
    for part in np.split(order, np.cumsum(np.bincount(user_of))[:-1]):
        value = auc(labels[part], scores[part])
        if not np.isnan(value):
            total, weight = total + value * len(part), weight + len(part)
    return total / weight if weight else float("nan")


def log_loss(labels: Floats, scores: Floats) -> float:
    """Mean negative log likelihood in nats; `scores` are probabilities, kept 1e-15 away from 0 and 1."""
    p = np.clip(np.asarray(scores, np.float64), 1e-15, 1 - 1e-15)
    return float(-np.mean(labels * np.log(p) + (1 - labels) * np.log1p(-p)))


def calibration(labels: Floats, scores: Floats) -> float:
    """Predicted clicks over real ones: above 1 is too many. NaN without a click."""
    clicks = float(np.sum(labels))
    return float(np.sum(scores)) / clicks if clicks else float("nan")


@dataclass(frozen=True)
class Paired:
    """AUC(b) - AUC(a) with the bootstrap's 95 % interval and its one-sided 95 % lower bound."""

    auc_a: float
    auc_b: float
    difference: float
    low: float
    high: float
    one_sided_low: float


def paired_bootstrap(
    labels: Floats, a: Floats, b: Floats, users: NDArray[np.generic], samples: int = 1000, seed: int = 0, step: int = 50
) -> Paired:
    """Resamples users with replacement, as weights: a user drawn twice counts twice. NaN bounds if a sample has one."""
    random = np.random.default_rng(seed)
    _, user_of = np.unique(users, return_inverse=True)
    count = int(user_of.max()) + 1
    ranked_a, ranked_b = _Ranked(labels, a), _Ranked(labels, b)
    differences = []
    for first in range(0, samples, step):
        drawn = random.multinomial(count, np.full(count, 1 / count), min(step, samples - first)).T.astype(np.float64)
        weights_NR = drawn[user_of]
        differences.append(ranked_b.auc(weights_NR) - ranked_a.auc(weights_NR))
    low, one_sided, high = np.quantile(np.concatenate(differences), [0.025, 0.05, 0.975])
    auc_a, auc_b = auc(labels, a), auc(labels, b)
    return Paired(auc_a, auc_b, auc_b - auc_a, float(low), float(high), float(one_sided))
