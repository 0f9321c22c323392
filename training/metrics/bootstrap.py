"""Percentile bootstrap by user: of one model's figures, and of two models' on the same rows.

Users are drawn, not impressions: a user's impressions hang together. Over pooled days or seeds a user is one user, with
the rows of all of them. A sample is a weight a user, how often it was drawn, so nothing is copied or sorted again:
a sample costs one pass over the rows, and one sample at a time is held in memory.

Shapes: N impressions, U users, R samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.metrics.likelihood import loss_of_rows
from training.metrics.ranking import Ranked, gauc_parts
from training.metrics.rows import Integers, checked_probabilities, numbered

PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Interval:
    """A figure with the bootstrap's 95 % interval; NaN bounds if a sample had no value."""

    value: float
    low: float
    high: float


def drawn(users: int, samples: int, seed: int) -> Iterator[Integers]:
    """`samples` times: how often each of the users [U] was drawn in U draws with replacement."""
    random = np.random.default_rng(seed)
    for _ in range(samples):
        yield np.bincount(random.integers(0, users, users, dtype=np.int32), minlength=users)


@dataclass(frozen=True)
class Resampled:
    """A figure of two models on the same rows: values a, b, and `samples` [R, 2] under the same draws of users."""

    a: float
    b: float
    samples: NDArray[np.float64]

    @property
    def difference(self) -> float:
        return self.b - self.a

    def bounds(self, *percentiles: float) -> list[float]:
        """Percentiles of b - a over the samples; NaN if a sample had no value."""
        found: list[float] = np.percentile(self.samples[:, 1] - self.samples[:, 0], percentiles).tolist()
        return found


FIGURES = ("auc", "gauc", "log_loss", "calibration")


class _Figures:
    """One model's FIGURES under any weights of the users [U]; sorted and summed once."""

    def __init__(self, clicked: NDArray[np.bool_], score: NDArray[np.float64], user_of: Integers, users: int):
        self.ranked = Ranked(clicked, score, user_of)
        # All but AUC are ratios of sums over users: a sample's are its weights times the users' sums.
        self.sums_6U = np.stack(
            [np.bincount(user_of, weight, users) for weight in (None, clicked, loss_of_rows(clicked, score), score)]
            + list(gauc_parts(clicked, score, user_of, users))
        ).astype(np.float64)

    def __call__(self, weights: Integers) -> list[float]:
        # No `@`: BLAS's threads wait for each other on busy cores, ten times as long as the product takes.
        rows, clicks, loss, predicted, within, weight = np.einsum("ku,u->k", self.sums_6U, weights.astype(np.float64))
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = np.array([within, loss]) / np.array([weight, rows])
            calibrated = predicted / clicks if clicks else float("nan")
        return [self.ranked.auc(weights), *ratios.tolist(), calibrated]


def paired_figures(
    labels: ArrayLike, a: ArrayLike, b: ArrayLike, users: ArrayLike, samples: int = 1000, seed: int = 0
) -> dict[str, Resampled]:
    """FIGURES of both models under the same samples, so that what a user adds to both cancels.

    A sample without a value holds NaN.
    """
    names, user_of = numbered(users)
    models = [_Figures(*checked_probabilities(labels, scores), user_of, len(names)) for scores in (a, b)]
    values = [model(np.ones(len(names), np.int64)) for model in models]
    drawn_R2F = np.array([[model(weights) for model in models] for weights in drawn(len(names), samples, seed)])
    return {
        name: Resampled(values[0][at], values[1][at], drawn_R2F[:, :, at]) for at, name in enumerate(FIGURES)
    }


def bootstrap(
    labels: ArrayLike, scores: ArrayLike, users: ArrayLike, samples: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """FIGURES (`gauc` by impressions) of one model, each with its interval."""
    clicked, score = checked_probabilities(labels, scores)
    names, user_of = numbered(users)
    figures = _Figures(clicked, score, user_of, len(names))
    values = figures(np.ones(len(names), np.int64))
    bounds = np.percentile([figures(weights) for weights in drawn(len(names), samples, seed)], PERCENTILES, axis=0)
    return {
        name: Interval(float(value), float(low), float(high))
        for name, value, (low, high) in zip(FIGURES, values, bounds.T, strict=True)
    }
