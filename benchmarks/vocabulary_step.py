"""Time of a whole training step without a CNN as every feature's vocabulary grows. Bar: x100 rows, <= 1.1x.

    python -m benchmarks.vocabulary_step [--rows 10000 1000000] [--repetitions 60]

`production`'s DCN on the default features, 1,600 impressions of 64 ads; forward, loss, backward, both optimisers. The
sizes take turns; medians. The embedding alone, part by part: `benchmarks.vocabulary`.
"""

from __future__ import annotations

import argparse
import random
import time
from statistics import median

import numpy as np
import torch

from contracts.features import feature_set
from contracts.rows import FIRST, RowMap
from training.batch import Batch
from training.distributed import World
from training.model import CTRModel
from training.recipes import production
from training.step import Step

IMPRESSIONS, ADS, WARM_UP = 1_600, 64, 5
RECIPE = production().model_copy(update={"backbone": "none"})
FEATURES = [feature for feature in feature_set("daily") if feature.side in ("ad", "user", "context", "cross")]


def made(rows: int) -> Step:
    maps = {feature.name: RowMap(feature.name, "hash", rows, np.empty(0, np.int64)) for feature in FEATURES}
    return Step(RECIPE, CTRModel(RECIPE, FEATURES, maps).train(), World(torch.device("cpu")))


def batch(rows: int) -> Batch:
    """Rows drawn from the whole vocabulary: no cache holds them, where a log's popular ones would be."""

    def block(side: str, count: int) -> dict[str, torch.Tensor]:
        of_side = [feature.name for feature in FEATURES if feature.side == side]
        return {name: torch.randint(FIRST, rows, (count,), dtype=torch.int32) for name in of_side}

    every = torch.arange(IMPRESSIONS, dtype=torch.int32)
    return Batch(
        block("ad", ADS), block("user", IMPRESSIONS), block("context", IMPRESSIONS) | block("cross", IMPRESSIONS),
        every % ADS, every, torch.arange(ADS, dtype=torch.int32), torch.ones(ADS, dtype=torch.int32),
        (torch.rand(IMPRESSIONS) < 0.1).float(), [None] * ADS,
    )  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10**4, 10**6], help="of every feature's vocabulary")
    parser.add_argument("--repetitions", type=int, default=60)
    asked = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    draw, steps = random.Random(0), {rows: made(rows) for rows in asked.rows}
    took: dict[int, list[float]] = {rows: [] for rows in asked.rows}
    for _ in range(WARM_UP + asked.repetitions):
        for rows in draw.sample(asked.rows, len(asked.rows)):
            one = batch(rows)
            began = time.perf_counter()
            steps[rows](one)
            took[rows].append(time.perf_counter() - began)
    first = median(took[asked.rows[0]][WARM_UP:])
    for rows, seconds in took.items():
        middle = median(seconds[WARM_UP:])
        print(f"{rows:>12,} rows of each of {len(FEATURES)} features: {1e3 * middle:8.1f} ms, {middle / first:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
