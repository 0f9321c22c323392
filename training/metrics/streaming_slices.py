"""The figures of slices, and of tenths of the scores, for more impressions than memory holds.

As in streaming.py the states are integers that ranks add. Shapes: N impressions of a batch, S slices, B cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contracts.errors import AdLensError
from training.metrics.likelihood import Decile, loss_of_rows, ratio
from training.metrics.rows import Floats, Integers, checked_probabilities, numbered
from training.metrics.slices import Slice
from training.metrics.streaming import STEPS, added, auc_of_cells, cell, checked_bits, in_steps


class StreamingSlices:
    """`by_slice` a batch at a time; AUC over a grid of logits, off by at most `bound()` of its slice.

    `state`: int64 [S, 4], of each slice what StreamingLikelihood keeps; `counts`: int64 [S, 2, B], what StreamingAuc
    does. 14 bits (16 cells a power of two) take 256 KiB a slice: 850 MB for 3,310 categories, so give fewer where
    there are many.
    """

    def __init__(self, names: Sequence[object], bits: int = 14):
        """`names`: the slices; rows of any other label are counted together, as the slice None."""
        self.names = [*dict.fromkeys(name for name in names if name is not None), None]
        self.bits = checked_bits(bits)
        self.state: Integers = np.zeros((len(self.names), 4), np.int64)
        self.counts: Integers = np.zeros((len(self.names), 2, 2**bits), np.int64)
        self._place = {name: at for at, name in enumerate(self.names)}

    def update(self, labels: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> None:
        """`scores`: probabilities; `groups` [N]: each row's label. Nothing is counted of a batch that is refused."""
        clicked, p = checked_probabilities(labels, scores)
        found, index = numbered(groups)
        if len(index) != len(p):
            raise AdLensError(f"{len(p)} scores and {len(index)} slices; wanted one of each a row")
        slice_N = np.array([self._place.get(name, len(self.names) - 1) for name in found], np.int64)[index]
        more = np.zeros_like(self.state)
        ones = np.ones(len(p), np.int64)
        parts = (ones, clicked.astype(np.int64), in_steps(p), in_steps(loss_of_rows(clicked, p)))
        np.add.at(more, slice_N, np.stack(parts, axis=1))
        self.state = added(self.state, more)
        np.add.at(self.counts, (slice_N, clicked.astype(np.int64), cell(_logit(p), self.bits)), 1)

    def merge(self, other: StreamingSlices) -> None:
        if (self.names, self.bits) != (other.names, other.bits):
            raise AdLensError("only accumulators of the same slices and the same grid merge")
        self.state = added(self.state, other.state)
        self.counts += other.counts

    def slices(self) -> list[Slice]:
        """Of the slices that have rows, in the order of `names`, None last."""
        found = []
        for name, (rows, clicks, predicted, nats), counts in zip(self.names, self.state, self.counts, strict=True):
            if rows:
                area, loss = auc_of_cells(counts[1], counts[0])[0], float(nats) / STEPS / int(rows)
                found.append(
                    Slice(name, int(rows), int(clicks), area, loss, ratio(float(predicted) / STEPS, int(clicks)))
                )
        return found

    def bound(self, name: object) -> float:
        """Most that the AUC of the slice can be off."""
        counts = self.counts[self._place[name]]
        return auc_of_cells(counts[1], counts[0])[1]


class StreamingDeciles:
    """`by_decile` a batch at a time: scores of one cell stay together, as equal ones do there, so a tenth's edge is
    off by a cell at most (16 bits: 1/64 of a score's power of two).

    `state`: int64 [3, B]: of each cell rows, clicks and predicted clicks, the last in 2^-30.
    """

    def __init__(self, bits: int = 16):
        self.bits = checked_bits(bits)
        self.state: Integers = np.zeros((3, 2**bits), np.int64)

    def update(self, labels: ArrayLike, scores: ArrayLike) -> None:
        clicked, p = checked_probabilities(labels, scores)
        more, at = np.zeros_like(self.state), cell(p, self.bits)
        for row, values in zip(more, (np.ones(len(p), np.int64), clicked.astype(np.int64), in_steps(p)), strict=True):
            np.add.at(row, at, values)
        self.state = added(self.state, more)

    def merge(self, other: StreamingDeciles) -> None:
        if self.bits != other.bits:
            raise AdLensError(f"grids of {self.bits} and {other.bits} bits do not merge")
        self.state = added(self.state, other.state)

    def deciles(self, bins: int = 10) -> list[Decile]:
        """Lowest scores first. `low` and `high` are the mean scores of a tenth's first and last cell."""
        rows_B, clicks_B, predicted_B = self.state[:, self.state[0] > 0]
        mean_B: Floats = predicted_B / STEPS / rows_B
        tenth_B = (np.cumsum(rows_B) - rows_B) * bins // max(1, int(rows_B.sum()))
        found = []
        for part in np.split(np.arange(len(rows_B)), np.flatnonzero(np.diff(tenth_B)) + 1):
            if len(part):
                rows, clicks = int(rows_B[part].sum()), int(clicks_B[part].sum())
                predicted = float(predicted_B[part].sum()) / STEPS
                low, high = float(mean_B[part[0]]), float(mean_B[part[-1]])
                found.append(Decile(low, high, rows, clicks, predicted, ratio(predicted, clicks)))
        return found


def _logit(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Infinite at 0 and 1, which the grid's outer cells take: probabilities near 1 lie closer than its cells."""
    with np.errstate(divide="ignore"):
        return np.log(probabilities) - np.log1p(-probabilities)
