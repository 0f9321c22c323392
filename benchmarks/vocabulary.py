"""Time of an embedding's step as its vocabulary grows: look-up, backward, row-wise Adagrad. Bar: x100 rows, <= 1.1x.

    python -m benchmarks.vocabulary [--ids 1600] [--repetitions 300] [--rows 10000 100000 1000000 10000000]

All tables exist at once and take turns, so that what else the machine does falls on all alike; medians. Each turn every
table gets the same batch (the same ids repeat as often, four in ten distinct), spread over the whole table anew:
the worst case for caches, where a log's popular rows would stay in them. 1,600 ids are a batch of `production`.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from statistics import median

import torch
from torch import Tensor, nn

from contracts.rows import PADDING
from training.optim import RowwiseAdagrad

DIMENSION = 4  # CSCNN 4.9
WARM_UP = 10  # turns that do not count
BAR = 1.1
PARTS = ("look-up", "backward", "update", "step")


class Table:
    def __init__(self, rows: int):
        self.rows = rows
        self.embedding = nn.Embedding(rows, DIMENSION, padding_idx=PADDING, sparse=True)
        self.optimiser = RowwiseAdagrad(self.embedding.parameters(), 0.02)
        self.seconds: dict[str, list[float]] = {part: [] for part in PARTS}

    def spread(self, ids_N: Tensor, draw: random.Random) -> Tensor:
        """Distinct ids to distinct rows, never the padding: id -> (a * id + b) mod (rows - 1) + 1, a coprime."""
        size = self.rows - 1
        factor = next(a for a in iter(lambda: draw.randrange(1, size), None) if math.gcd(a, size) == 1)
        return (ids_N * factor + draw.randrange(size)) % size + 1

    def step(self, rows_N: Tensor) -> None:
        at = [time.perf_counter()]
        vectors = self.embedding(rows_N)
        at.append(time.perf_counter())
        vectors.backward(torch.ones_like(vectors))
        at.append(time.perf_counter())
        self.optimiser.step()
        at.append(time.perf_counter())
        self.optimiser.zero_grad(set_to_none=True)
        taken = [later - earlier for earlier, later in zip(at, at[1:], strict=False)]
        for part, seconds in zip(PARTS, [*taken, sum(taken)], strict=True):
            self.seconds[part].append(seconds)

    def milliseconds(self, part: str) -> float:
        return 1e3 * median(self.seconds[part][WARM_UP:])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", type=int, default=1_600, help="looked up in a batch")
    parser.add_argument("--repetitions", type=int, default=300)
    parser.add_argument("--rows", type=int, nargs="+", default=[10**4, 10**5, 10**6, 10**7])
    asked = parser.parse_args(argv)
    if min(asked.rows) <= asked.ids // 2 + 1:
        parser.error(f"{asked.ids} ids need more than {asked.ids // 2 + 1} rows in each table")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    draw = random.Random(0)
    tables = [Table(rows) for rows in asked.rows]
    for _ in range(asked.repetitions + WARM_UP):
        ids_N = torch.randint(0, max(1, asked.ids // 2), (asked.ids,))
        for table in draw.sample(tables, len(tables)):
            table.step(table.spread(ids_N, draw))
    print(f"{'rows':>12}" + "".join(f"{part + ' ms':>13}" for part in PARTS) + f"{'to rows / 100':>16}")
    steps = {table.rows: table.milliseconds("step") for table in tables}
    for table in tables:
        smaller = steps.get(table.rows // 100)
        ratio = f"{steps[table.rows] / smaller:>16.3f}" if smaller else " " * 16
        print(f"{table.rows:>12,}" + "".join(f"{table.milliseconds(part):>13.4f}" for part in PARTS) + ratio)
    ratios = [steps[rows] / steps[rows // 100] for rows in steps if rows // 100 in steps]
    if ratios:
        print(f"worst x100: {max(ratios):.3f}, bar {BAR}: {'held' if max(ratios) <= BAR else 'missed'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
