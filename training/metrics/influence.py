"""Differences between two models on the same rows with a standard error in closed form, clustered by user.

For what is asked of many slices at once: a bootstrap of a thousand samples cannot tell a p-value of 0.0005 from one of
0.001, which is what a correction for fifty slices asks for, and costs a thousand times as much.

Shapes: N impressions, U users.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics.rows import Floats, Integers


@dataclass(frozen=True)
class Estimate:
    """A figure and its standard error; NaN where the rows cannot give it."""

    value: float
    error: float

    def chance_below(self, bound: float) -> float:
        """One-sided p-value of `the truth is at least bound` (normal): small where the figure lies well below it."""
        return self._chance(self.value - bound)

    def chance_above(self, bound: float) -> float:
        """One-sided p-value of `the truth is at most bound`."""
        return self._chance(bound - self.value)

    def _chance(self, distance: float) -> float:
        if math.isnan(distance) or math.isnan(self.error):
            return float("nan")
        if self.error == 0:
            return 1.0 if distance >= 0 else 0.0
        return 0.5 * math.erfc(-distance / self.error / math.sqrt(2))


def auc_influence(clicked: NDArray[np.bool_], scores: Floats) -> tuple[float, NDArray[np.float64]]:
    """(AUC, each row's influence on it [N]); NaN and zeros with one class only.

    The placements of DeLong, DeLong & Clarke-Pearson (Biometrics 1988): for a click the share of the others below it,
    for another the share of the clicks above it, a tie counting half; less the AUC, divided by the number of its class.
    """
    influence = np.zeros(len(scores), np.float64)
    clicks, others = np.sort(scores[clicked]), np.sort(scores[~clicked])
    if not len(clicks) or not len(others):
        return float("nan"), influence
    below = np.searchsorted(others, scores[clicked], "left") + np.searchsorted(others, scores[clicked], "right")
    above = np.searchsorted(clicks, scores[~clicked], "left") + np.searchsorted(clicks, scores[~clicked], "right")
    placed = below / (2 * len(others))
    auc = float(placed.mean())
    influence[clicked] = (placed - auc) / len(clicks)
    influence[~clicked] = (1 - above / (2 * len(clicks)) - auc) / len(others)
    return auc, influence


def auc_difference(clicked: NDArray[np.bool_], a: Floats, b: Floats, user_of_N: Integers) -> Estimate:
    """AUC(b) - AUC(a), with the variance of Obuchowski (Biometrics 1997, clustered data) for paired scores."""
    (auc_a, of_a), (auc_b, of_b) = auc_influence(clicked, a), auc_influence(clicked, b)
    return Estimate(auc_b - auc_a, clustered_error(of_b - of_a, user_of_N))


def mean(values_N: NDArray[np.float64], user_of_N: Integers) -> Estimate:
    """Mean over rows of whatever they were given, such as a difference of two models' losses; NaN without rows."""
    if not len(values_N):
        return Estimate(float("nan"), float("nan"))
    middle = float(values_N.mean())
    return Estimate(middle, clustered_error((values_N - middle) / len(values_N), user_of_N))


def clustered_error(influence_N: NDArray[np.float64], user_of_N: Integers) -> float:
    """Square root of U / (U - 1) times the sum over users of their squared sums; NaN for a single user."""
    sums = np.bincount(user_of_N, influence_N)
    users = int(np.count_nonzero(np.bincount(user_of_N)))
    return math.sqrt(users / (users - 1) * float((sums**2).sum())) if users > 1 else float("nan")


def holm(chances: list[float], level: float) -> list[bool]:
    """Which of the hypotheses are rejected at a family-wise level (Holm, Scand. J. Statist. 1979); a NaN never is."""
    order = sorted((at for at, p in enumerate(chances) if not math.isnan(p)), key=lambda at: chances[at])
    rejected = [False] * len(chances)
    for rank, at in enumerate(order):
        if chances[at] > level / (len(order) - rank):
            break
        rejected[at] = True
    return rejected
