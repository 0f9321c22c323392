"""Size and time of a checkpoint, written and restored, at `production`'s sizes.

    python -m benchmarks.checkpoint_cost --rows 10000 1000000

ResNet18 with CSCNN's modules, the paper's DCN, the default features, `--rows` in every feature's vocabulary but the
category's, whose are the paper's 3,310: the attention keeps some 900 numbers for each. Written to
the folder of temporary files, through the operating system's cache; medians.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from contracts.features import feature_set
from contracts.rows import RowMap
from training.checkpoint import Checkpoints, Kept
from training.distributed import World
from training.model import CTRModel
from training.recipes import production
from training.step import Step

CATEGORIES = 3_310
FEATURES = [feature for feature in feature_set("daily") if feature.side in ("ad", "user", "context", "cross")]


def made(rows: int, world: World) -> Step:
    """A model whose optimisers hold what they hold after a step."""
    sizes = {feature.name: CATEGORIES if feature.name == "category_id" else rows for feature in FEATURES}
    maps = {name: RowMap(name, "hash", size, np.empty(0, np.int64)) for name, size in sizes.items()}
    recipe = production()
    step = Step(recipe, CTRModel(recipe, FEATURES, maps), world)
    for parameter in step.dense:
        parameter.grad = torch.zeros_like(parameter)
    step.optimisers["dense"].step()
    return step


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10**4, 10**6], help="of every feature's vocabulary")
    parser.add_argument("--repetitions", type=int, default=5)
    asked = parser.parse_args(argv)
    world = World(torch.device("cpu"))
    for rows in asked.rows:
        step, saved, restored = made(rows, world), [], []
        with tempfile.TemporaryDirectory() as folder:
            kept = Checkpoints(Path(folder), world)
            for n in range(asked.repetitions):
                began = time.perf_counter()
                kept.save(n, step.net, step.optimisers, Kept({}, {}))
                saved.append(time.perf_counter() - began)
                began = time.perf_counter()
                kept.restore(step.net, step.optimisers)
                restored.append(time.perf_counter() - began)
            size = sum(file.stat().st_size for file in Path(folder).rglob("*.safetensors"))
        dense = sum(parameter.numel() for parameter in step.dense)
        print(
            f"{rows:>12,} rows of each of {len(FEATURES)} features, {dense:,} dense weights: {size / 2**20:,.0f} MiB, "
            f"written in {median(saved):.2f} s, restored in {median(restored):.2f} s"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
