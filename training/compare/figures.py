"""The figures of a comparison: AUC over pooled days, averaged over seeds, with paired intervals by user.

Shapes: N impressions of the pooled days, S seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray

from contracts.delta_dataset import dataset
from training.evaluate import Scored
from training.metrics.bootstrap import PERCENTILES, Interval, drawn
from training.metrics.ranking import Ranked
from training.metrics.rows import checked, numbered

Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Figures:
    """`auc`: mean over seeds. `spread`: standard deviation over seeds. `gain`: against the first rung. `step`: against
    the rung before; None for the first. `closed`: share of the way from the first rung to the best possible; None
    where nobody knows that."""

    auc: float
    spread: float
    gain: Interval
    step: Interval | None
    closed: Interval | None


def compared(rungs: Sequence[Sequence[Scored]], best: NDArray[np.float64] | None, rows: Rows, samples: int, seed: int
             ) -> list[Figures]:  # fmt: skip
    """One entry a rung; `rungs` holds each one's seeds, on the same impressions. The first is what gains are against.

    `best` [N]: the true probabilities. `rows` [N]: which count (all of them, or those of cold ads). A sample draws
    users, and seeds among the S that were trained: the interval holds for another day's users and another seed.
    """
    first = rungs[0][0]
    names, user_of = numbered(first.user_id[rows])
    label = first.label[rows]

    def ranked(score: NDArray[np.float64]) -> Ranked:
        return Ranked(*checked(label, score), user_of)

    models = [[ranked(scored.score[rows]) for scored in seeds] for seeds in rungs]
    limit = ranked(best[rows]) if best is not None else None
    random = np.random.default_rng(seed)

    def sampled() -> Iterator[tuple[list[float], float]]:
        for weights in drawn(len(names), samples, seed):
            chosen = random.integers(0, len(rungs[0]), len(rungs[0]))
            each = [float(np.mean([seeds[at].auc(weights) for at in chosen])) for seeds in models]
            yield each, limit.auc(weights) if limit is not None else float("nan")

    ones = np.ones(len(names), np.int64)
    by_seed = np.array([[one.auc(ones) for one in seeds] for seeds in models])
    found = list(sampled())
    means, tops = np.array([each for each, _ in found]), np.array([top for _, top in found])
    top = limit.auc(ones) if limit is not None else float("nan")
    figures = []
    for at, values in enumerate(by_seed):
        gain = _interval(values.mean() - by_seed[0].mean(), means[:, at] - means[:, 0])
        step = _interval(values.mean() - by_seed[at - 1].mean(), means[:, at] - means[:, at - 1]) if at else None
        share = (means[:, at] - means[:, 0]) / (tops - means[:, 0])
        closed = _interval(gain.value / (top - by_seed[0].mean()), share) if limit is not None else None
        figures.append(Figures(float(values.mean()), float(values.std()), gain, step, closed))
    return figures


def _interval(value: float, samples: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(samples, PERCENTILES)
    return Interval(float(value), float(low), float(high))


def shown(table: DeltaTable, days: Sequence[str]) -> dict[str, int]:
    """Groups of each ad on these days: an ad without any is cold."""
    counts: dict[str, int] = {}
    for batch in dataset(table, list(days)).to_batches(columns=["ad_id"]):
        for pair in pc.value_counts(batch.column("ad_id")).to_pylist():
            counts[pair["values"]] = counts.get(pair["values"], 0) + pair["counts"]
    return counts
