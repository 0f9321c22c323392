"""What attention costs a CNN: forward and backward of ResNet18 plain, with CBAM, with CSCNN; side by side, as ratios.

    python -m benchmarks.cnn_cost [--size 224] [--pictures 16] [--precision bfloat16] [--rounds 8] [--threads 1]
                                  [--compiled]     each through torch.compile as well

The floor is what the attention's necessary passes over the feature maps take by themselves: forward, one read for
the pools over pixels, one for the pools over channels, one read and write to apply both gates; backward, one read of
the map and of its gradient and one write of the result. It is measured as plain copies of maps of the same sizes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from training.cscnn import CSCNN
from training.recipes import production

VARIANTS = {"plain": {"attention": "none"}, "CBAM": {"category_prior": False}, "CSCNN": {}}
CATEGORIES = 3310
READS, WRITES = 5, 2  # of the floor


def seconds(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median of `rounds` after one that warms up, the variants taking turns."""
    took: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            took[name].append(time.perf_counter() - began)
    return {name: statistics.median(times[1:]) for name, times in took.items()}


def passes(size: int, pictures: int, dtype: torch.dtype) -> Callable[[], None]:
    """The floor's reads and writes of the sixteen maps: a copy is one of each."""
    maps = [torch.zeros(pictures, 64 * 2**at, size // 4 // 2**at, size // 4 // 2**at, dtype=dtype) for at in range(4)]
    into = [torch.empty_like(one) for one in maps]

    def run() -> None:
        for _ in range(4):  # modules a stage
            for one, other in zip(maps, into, strict=True):
                for _ in range((READS + WRITES + 1) // 2):
                    other.copy_(one)

    return run


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--pictures", type=int, default=16, help="of a batch")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compiled", action="store_true", help="each through torch.compile too; needs a C++ compiler")
    asked = parser.parse_args(argv)
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    pictures = torch.randint(0, 256, (asked.pictures, 3, asked.size, asked.size), dtype=torch.uint8)
    category = torch.randint(0, CATEGORIES, (asked.pictures,))

    def step(net: nn.Module) -> Callable[[], None]:
        def run() -> None:
            net.zero_grad()
            net(pictures, category).sum().backward()

        return run

    recipe = production().model_copy(update={"image_size": asked.size, "precision": asked.precision})
    nets = {name: CSCNN(recipe.model_copy(update=update), CATEGORIES).train() for name, update in VARIANTS.items()}
    runs = {name: step(net) for name, net in nets.items()}
    if asked.compiled:
        runs |= {f"{name}, compiled": step(torch.compile(net)) for name, net in nets.items()}
    took = seconds({**runs, "floor": passes(asked.size, asked.pictures, getattr(torch, asked.precision))}, asked.rounds)
    print(f"{asked.pictures} pictures of {asked.size}, {asked.precision}, {asked.threads} thread(s)")
    for name in runs:
        rate, ratio = asked.pictures / took[name], took[name] / took["plain"]
        print(f"{name:16} {took[name]:8.3f} s  {rate:7.1f} pictures/s  {ratio:.3f}")
    floor = 1 + took["floor"] / took["plain"]
    print(f"{'floor':16} {took['floor']:8.3f} s  {'':19}{floor:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
