"""Log loss and calibration of probabilities, exact. Scores of a pair-wise loss are none: do not ask this of them.

Shapes: N impressions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.metrics.rows import Floats, checked_probabilities

EDGE = 1e-15  # probabilities are kept so far from 0 and 1: a sure miss costs 34.5 nats, not infinity


def log_loss(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean negative log likelihood in nats; NaN without rows. Raises AdLensError as `checked_probabilities`."""
    clicked, p = checked_probabilities(labels, scores)
    return float(loss_of_rows(clicked, p).mean()) if len(p) else float("nan")


def loss_of_rows(clicked: NDArray[np.bool_], scores: Floats) -> NDArray[np.float64]:
    """Each row's negative log likelihood [N], in nats."""
    p = np.clip(np.asarray(scores, np.float64), EDGE, 1 - EDGE)
    return -np.log(np.where(clicked, p, 1 - p))


def calibration(labels: ArrayLike, scores: ArrayLike) -> float:
    """Predicted clicks over real ones: above 1 is too many. NaN without a click."""
    clicked, p = checked_probabilities(labels, scores)
    return ratio(float(p.sum()), int(clicked.sum()))


def ratio(predicted: float, clicks: int) -> float:
    return predicted / clicks if clicks else float("nan")


@dataclass(frozen=True)
class Decile:
    """`low`, `high`: its scores. `predicted`: clicks that the scores sum to. `ratio`: predicted over real ones."""

    low: float
    high: float
    rows: int
    clicks: int
    predicted: float
    ratio: float


def by_decile(labels: ArrayLike, scores: ArrayLike, bins: int = 10) -> list[Decile]:
    """Calibration by tenths of the rows, lowest scores first.

    Equal scores stay together, in the tenth where the first of them falls: the table does not hang on the order of the
    rows, and a tenth that ties leave empty is not in it.
    """
    clicked, score = checked_probabilities(labels, scores)
    order = np.argsort(score, kind="stable")
    score, clicked = score[order], clicked[order]
    first = np.searchsorted(score, score, "left")  # of the run of equal scores
    tenth = first * bins // max(1, len(score))
    found = []
    for part in np.split(np.arange(len(score)), np.flatnonzero(np.diff(tenth)) + 1):
        if len(part):
            p, clicks = score[part], int(clicked[part].sum())
            predicted = float(p.sum())
            found.append(Decile(float(p[0]), float(p[-1]), len(part), clicks, predicted, ratio(predicted, clicks)))
    return found
