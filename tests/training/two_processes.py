"""What each of two processes does in test_distributed: three updates on its own, uneven part of the same batches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from contracts import paths
from contracts.features import feature_set
from contracts.settings import Settings, load
from training.batch import Batch
from training.distributed import World, enter, leave
from training.model import CTRModel
from training.pictures import Pictures
from training.reader import chunks, open_table
from training.recipes import Recipe, tiny
from training.rows_fit import fit
from training.step import Step
from training.stream import Reader

DAYS, STEPS = ["2026-01-01", "2026-01-02"], 3
CHOSEN = Recipe.model_validate(tiny().model_dump() | {"pictures_per_batch": 16, "clip_norm": 0.05})


def prepared(settings: Settings) -> tuple[CTRModel, Iterator[Batch]]:
    table, features = open_table(paths.table(settings, "ad_groups")), list(feature_set("daily"))
    maps = fit(features, (part for day in DAYS for part in chunks(table, day, features)), 1000, 1)
    torch.manual_seed(3)
    net = CTRModel(CHOSEN, features, maps)
    for module in net.modules():  # half a batch has other statistics: they stay as they are
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return net, Reader(table, DAYS, CHOSEN, maps, 1).batches(0)


def updated(settings: Settings, world: World) -> dict[str, torch.Tensor]:
    """The weights and, summed over processes, the loss of each update."""
    net, batches = prepared(settings)
    step, losses, store = Step(CHOSEN, net, world), [], Pictures(settings, CHOSEN.image_size)
    for _ in range(STEPS):
        whole = next(batches)
        cut = len(whole) if world.size == 1 else len(whole) // 4
        part = whole.take(torch.arange(len(whole))[: cut] if world.first else torch.arange(len(whole))[cut:])
        part = replace(part, pictures_B3SS=store.load(part.images))
        loss, _ = step(part, len(part) * world.size / len(whole))
        losses.append(world.total(loss * len(part) / len(whole))[0])
    return {**net.state_dict(), "losses": torch.tensor(losses)}


def main(out: Path) -> None:
    world = enter("cpu")
    safetensors.torch.save_file(updated(load(), world), out / f"{world.rank}.safetensors")
    leave(world)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
