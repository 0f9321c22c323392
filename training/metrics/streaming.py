"""Accumulators for more impressions than memory holds: a batch at a time, merged across ranks by adding.

Their states are integers, so that any split into batches or ranks and any order give the same bits.
Shapes: N impressions of a batch, B buckets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contracts.errors import AdLensError
from training.metrics.likelihood import loss_of_rows, ratio
from training.metrics.rows import Floats, Integers, checked, checked_probabilities

STEPS = 2**30  # of a nat or of a predicted click: a row is rounded by 5e-10 at most, and 8.6e9 nats fit in 64 bits


def in_steps(values: Floats) -> Integers:
    """As integers that add up in any order to the same bits."""
    return np.rint(values * STEPS).astype(np.int64)


def added(state: Integers, more: Integers) -> Integers:
    """Raises AdLensError where 64 bits do not hold the sum; neither state is changed then."""
    total: Integers = state + more
    if (total < 0).any():
        raise AdLensError("these sums are more than 64 bits hold; start a new accumulator for each part of the window")
    return total


class StreamingLikelihood:
    """Log loss and calibration of probabilities.

    `state`: int64 [rows, clicks, predicted clicks, nats], the last two in 2^-30; ranks add theirs (all_reduce).
    """

    def __init__(self) -> None:
        self.state: Integers = np.zeros(4, np.int64)

    def update(self, labels: ArrayLike, scores: ArrayLike) -> None:
        clicked, p = checked_probabilities(labels, scores)
        parts = (in_steps(part).sum() for part in (p, loss_of_rows(clicked, p)))
        self._add(np.array([len(p), clicked.sum(), *parts], np.int64))

    def merge(self, other: StreamingLikelihood) -> None:
        self._add(other.state)

    def _add(self, state: Integers) -> None:
        self.state = added(self.state, state)

    def log_loss(self) -> float:
        """Mean, in nats; NaN without rows."""
        return float(self.state[3]) / STEPS / int(self.state[0]) if self.state[0] else float("nan")

    def calibration(self) -> float:
        """Predicted clicks over real ones; NaN without a click."""
        return ratio(float(self.state[2]) / STEPS, int(self.state[1]))


def checked_bits(bits: int) -> int:
    if not 9 <= bits <= 24:
        raise AdLensError(f"a grid of {bits} bits; from 9 to 24 can be")
    return bits


def cell(scores: NDArray[np.float64], bits: int) -> Integers:
    """Each score's cell [N] of the grid: the first bits of its float32, as integers that ascend with it."""
    most = float(np.finfo(np.float32).max)
    code = (np.clip(scores, -most, most).astype(np.float32) + np.float32(0)).view(np.uint32)  # -0 becomes 0
    # As integers, positive floats ascend and negative ones descend: flip the sign bit, or all bits.
    ascending = np.where(code >> 31, ~code, code | np.uint32(1 << 31))
    return (ascending >> np.uint32(32 - bits)).astype(np.int64)


def auc_of_cells(clicks: Integers, others: Integers) -> tuple[float, float]:
    """(AUC, most that pairs within one cell can move it), of counts in ascending cells; NaN with one class."""
    clicked, unclicked = clicks.astype(np.float64), others.astype(np.float64)  # products pass 2^63
    pairs = clicked.sum() * unclicked.sum()
    if pairs == 0:
        return float("nan"), float("nan")
    below = np.cumsum(unclicked) - unclicked
    same = float((clicked * unclicked).sum())
    return float(((clicked * below).sum() + same / 2) / pairs), same / 2 / float(pairs)


class StreamingAuc:
    """AUC over a fixed grid of scores: the first `bits` bits of their float32s, in ascending order.

    A pair of one bucket counts half, whatever its order; so AUC is off by at most `bound()`, half the share of pairs
    that fall in one bucket. 20 bits cut each power of two in 2,048 (a logit of -3 to 0.001) and take 16 MiB. Feed it
    logits: probabilities near 1 lie closer than the grid. Use it for a training pass or a window; for a day that fits
    in memory `auc` is exact.

    `counts`: int64 [2, B], without and with a click; ranks add theirs (all_reduce).
    """

    def __init__(self, bits: int = 20):
        """`bits` from 9 (a bucket a power of two) to 24 (256 MiB)."""
        self.bits = checked_bits(bits)
        self.counts: Integers = np.zeros((2, 2**bits), np.int64)

    def update(self, labels: ArrayLike, scores: ArrayLike) -> None:
        """Raises AdLensError that names how many scores are NaN or infinite; nothing of the batch is counted then."""
        clicked, score = checked(labels, scores)
        np.add.at(self.counts, (clicked.astype(np.int64), cell(score, self.bits)), 1)

    def merge(self, other: StreamingAuc) -> None:
        if self.bits != other.bits:
            raise AdLensError(f"grids of {self.bits} and {other.bits} bits do not merge")
        self.counts += other.counts

    def auc(self) -> float:
        """Within `bound()` of the exact one; NaN with one class only."""
        return auc_of_cells(self.counts[1], self.counts[0])[0]

    def bound(self) -> float:
        """Most that `auc()` can be off, for these scores; reached where each bucket's pairs are all in one order."""
        return auc_of_cells(self.counts[1], self.counts[0])[1]
