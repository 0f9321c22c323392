"""The whole training step on one device: reader, pictures, CNN, DCN, optimisers; on made data, without network.

    python -m benchmarks.train_gpu --device cuda --pictures 256 --steps 60
    python -m benchmarks.train_gpu --device cpu --size 64 --pictures 16 --steps 10     (what a CPU can show of it)

Prints impressions/s and pictures/s of whole groups, the share of the time in which no batch was ready, the share of the
device's peak that the CNN's arithmetic reaches (--peak in TFLOPS of the precision: 989 for an H100's or H200's dense
bfloat16), peak memory; and, beside them in the same run, the CNN's forward and backward alone, and the same step with
nothing shared (a picture an impression). --own: the same step on the setting's own tables and pictures, whose groups
are not full, beside their mean fill.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import made_groups
from contracts import paths
from contracts.features import feature_set
from contracts.settings import Settings, load
from training import reader
from training.batch import Batch
from training.distributed import World, enter
from training.model import CTRModel
from training.pictures import Pictures
from training.prefetch import ready
from training.recipes import Recipe, production
from training.rows_fit import fit
from training.shuffle import Piece
from training.step import Step
from training.stream import Reader

WARM = 3  # steps that are not timed
DAYS = 2


@dataclass(frozen=True)
class Speed:
    """Seconds of `steps` steps, of which `waited` without a batch."""

    seconds: float
    waited: float
    impressions: int
    pictures: int

    def told(self, name: str) -> str:
        return (
            f"{name:34}{self.impressions / self.seconds:12,.0f} impressions/s {self.pictures / self.seconds:10,.1f} "
            f"pictures/s   waited {self.waited / self.seconds:5.1%}"
        )


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def step_speed(chosen: Recipe, settings: Settings, world: World, steps: int) -> tuple[Speed, CTRModel, Batch]:
    """Of the whole step, as the loop takes it."""
    table = reader.open_table(paths.table(settings, "ad_groups"))
    features = feature_set(chosen.feature_set)
    days = reader.days_with_groups(table)
    maps = fit(features, reader.chunks(table, days[0], features), chosen.number_sample, 1)
    net = CTRModel(chosen, features, maps).to(world.device).train()
    step, stream = Step(chosen, net, world), Reader(table, days, chosen, maps, 1)
    source = ready(
        _forever(stream), Pictures(settings, chosen.image_size), chosen.prefetch, chosen.prefetch_threads, world.device
    )
    impressions = pictures = 0
    with source as batches:
        for number, piece in enumerate(islice(batches, WARM + steps)):
            batch = piece.to(world.device)
            step(batch)
            if number + 1 == WARM:
                synchronise(world.device)
                began, waited = time.perf_counter(), batches.waited
            elif number >= WARM:
                impressions, pictures = impressions + len(batch), pictures + len(batch.images)
        synchronise(world.device)
        took = Speed(time.perf_counter() - began, batches.waited - waited, impressions, pictures)
    return took, net, batch


def _forever(stream: Reader) -> Iterator[Piece]:
    epoch = 0
    while True:
        yield from stream.pieces(epoch)
        epoch += 1


def cnn_speed(net: CTRModel, batch: Batch, device: torch.device, steps: int) -> Speed:
    """Forward and backward of the same CNN on the same pictures, nothing else."""
    assert net.cnn is not None and batch.pictures_B3SS is not None
    for number in range(WARM + steps):
        if number == WARM:
            synchronise(device)
            began = time.perf_counter()
        net.cnn.zero_grad()
        net.cnn(batch.pictures_B3SS, batch.category_B).sum().backward()
    synchronise(device)
    pictures = steps * len(batch.images)
    return Speed(time.perf_counter() - began, 0.0, steps * len(batch), pictures)


def flops_of_a_picture(net: CTRModel, batch: Batch) -> float:
    assert net.cnn is not None and batch.pictures_B3SS is not None
    with FlopCounterMode(display=False) as counter:
        net.cnn(batch.pictures_B3SS[:2], batch.category_B[:2]).sum().backward()
    return counter.get_total_flops() / 2


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--pictures", type=int, default=256, help="of a batch")
    parser.add_argument("--share", type=int, default=25, help="impressions of a group")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--features", default="daily", help="feature set")
    parser.add_argument("--images", type=int, default=2_000, help="distinct picture files")
    parser.add_argument("--workers", type=int, default=0, help="processes that read")
    parser.add_argument("--threads", type=int, default=1, help="of torch on a CPU")
    parser.add_argument("--peak", type=float, default=0.0, help="TFLOPS of the device in bfloat16")
    parser.add_argument("--own", action="store_true", help="also the groups of the setting's tables")
    parser.add_argument("--no-ungrouped", action="store_true", help="leave the step with nothing shared out")
    asked = parser.parse_args(argv)
    torch.set_num_threads(asked.threads)
    world = enter(asked.device)
    with tempfile.TemporaryDirectory() as home:
        report(asked, world, Settings.model_validate({"home": Path(home), "landing": Path(home) / "landing"}))
    return 0


def report(asked: argparse.Namespace, world: World, settings: Settings) -> None:
    random = np.random.default_rng(1)
    images = made_groups.pictures(settings, asked.images, max(asked.size, 224), random)
    groups = max(2 * asked.pictures, asked.images // DAYS)
    made_groups.make(settings, asked.features, DAYS, groups, asked.share, images, distinct=3_000)
    grouped = production().model_copy(
        update={
            "feature_set": asked.features, "image_size": asked.size, "pictures_per_batch": asked.pictures,
            "impressions_per_picture": asked.share, "loader_workers": asked.workers, "prefetch_threads": 4,
            "buffer_impressions": groups * asked.share,
        }
    )  # fmt: skip
    name = torch.cuda.get_device_name(world.device) if asked.device == "cuda" else "CPU"
    shape = f"{asked.pictures} pictures x {asked.share} impressions"
    print(f"{name}, {asked.size} pixels, {shape}, bfloat16, features {asked.features}")
    whole, net, batch = step_speed(grouped, settings, world, asked.steps)
    alone = cnn_speed(net, batch, world.device, asked.steps)
    print(whole.told("whole step, groups"))
    print(alone.told("its CNN alone, forward + backward"))
    per_picture = [speed.seconds / speed.pictures for speed in (whole, alone)]
    print(f"whole step / CNN alone, a picture: {per_picture[0] / per_picture[1]:.3f}")
    if asked.peak:
        used = flops_of_a_picture(net, batch) * whole.pictures / whole.seconds / 1e12
        print(f"CNN's arithmetic: {used:.1f} TFLOPS, {used / asked.peak:.1%} of the peak")
    if not asked.no_ungrouped:
        # As many pictures a batch, so that the CNN works alike: a picture now serves one impression.
        plain = grouped.model_copy(update={"grouping": "none", "impressions_per_picture": 1})
        single, _, _ = step_speed(plain, settings, world, max(2, asked.steps // 4))
        print(single.told("whole step, nothing shared"))
        ratio = (whole.impressions / whole.seconds) / (single.impressions / single.seconds)
        print(f"groups / nothing shared, impressions/s: {ratio:.1f}")
    if asked.own:
        own, _, _ = step_speed(grouped, load(), world, asked.steps)
        fill = own.impressions / own.pictures
        print(own.told(f"whole step, own groups of {fill:.1f}"))
        ratio = (own.impressions / own.seconds) / (whole.impressions / whole.seconds)
        print(f"own / full groups, impressions/s: {ratio:.2f}; mean fill / full: {fill / asked.share:.2f}")
    if asked.device == "cuda":
        print(f"peak device memory {torch.cuda.max_memory_allocated(world.device) / 2**30:.1f} GiB")
    print(f"peak resident memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    raise SystemExit(main())
