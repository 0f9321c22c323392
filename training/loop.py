"""The training loop: batches in, weights out; stops on request and goes on where it stopped.

One pass by default. Processes (training/distributed.py) read shards of their own; one that has run out goes on with
weight 0 until the last one has, so that all end together.
"""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FrameType

import safetensors.torch
import torch
from torch import Tensor, nn

from contracts.errors import AdLensError, InputError
from contracts.hashing import code
from training.batch import Batch, Position
from training.checkpoint import Checkpoints, Kept
from training.distributed import World
from training.early_stop import EarlyStop, held_out_figures
from training.fixed import FixedFeatures
from training.model import CTRModel
from training.pictures import Pictures
from training.prefetch import Prefetch, ready
from training.profiler import traced
from training.recipes import Recipe
from training.shuffle import Piece
from training.step import Step
from training.stream import Reader
from training.watch import Curve, Trained, Watch


class Interrupted(AdLensError):
    """SIGTERM came: a checkpoint was written, and the same command goes on from there."""

    exit_code = 143


def seed_everything(seed: int, threads: int) -> None:
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)


class Loop:
    """Holds what training needs; `run` goes through the epochs."""

    def __init__(
        self, recipe: Recipe, net: CTRModel, reader: Reader, pictures: Pictures, folder: Path,
        world: World | None = None, held_out: Reader | None = None, curve: Curve | None = None,
        profile: Path | None = None,
    ):  # fmt: skip
        """`folder`: of the checkpoints, and of the batch that a loss was not finite of. `net` is on the world's device.
        `held_out`: what an early stop looks at. `curve` is told figures now and then; `profile`: a trace's file."""
        self.world = world or World(torch.device("cpu"))
        self.recipe, self.net, self.reader, self.pictures, self.folder = recipe, net, reader, pictures, folder
        fixed = FixedFeatures(net.cnn, pictures.load) if net.cnn is not None and recipe.cnn_fixed else None
        self.step = Step(recipe, net, self.world, fixed)
        self.checkpoints = Checkpoints(folder, self.world)
        self.held_out, self.early = held_out, EarlyStop(folder, recipe.patience)
        self.watch = Watch(reader.impressions * recipe.epochs, self.world.first, curve)
        self.seen: deque[tuple[list[str | None], Tensor]] = deque(maxlen=max(1, recipe.bn_batches))
        self.profile, self.stopped, self.counts = profile, False, True
        self.before: set[int] = set()  # unreadable pictures that were met before it was stopped

    @property
    def unreadable(self) -> set[int]:
        """Codes of the pictures' digests for which this process took the grey one: 8 bytes each in a checkpoint."""
        codes = (code(digest) for digest in self.pictures.unreadable)
        return self.before | {one for one in codes if one is not None}

    def run(self) -> Trained:
        """Raises Interrupted after SIGTERM, AdLensError where the loss is not finite or nothing was read, InputError
        where held-out days cannot tell when to stop."""
        start = self._resume()
        before = signal.signal(signal.SIGTERM, self._stop)
        try:
            with self.watch:
                self.net.train()
                for epoch in range(start.epoch if start else 0, self.recipe.epochs):
                    self._pass(epoch, start)
                    start = None
                    if self._no_better(epoch):
                        break
        finally:
            signal.signal(signal.SIGTERM, before)
        if not self.watch.counters.steps:
            raise AdLensError("no batch was read: the window's groups are empty")
        self.settle_statistics()
        if self.held_out is not None:
            self.world.wait()  # the first process may still be writing them
            self.early.restore(self.net)
        return self.watch.trained(self.recipe.loss == "pointwise", self.early.best)

    def _pass(self, epoch: int, start: Position | None) -> None:
        saved = time.monotonic()
        with self._batches(self.reader, epoch, start) as batches, traced(self.profile) as tick:
            for batch, rows in self._together(batches, self._spare(epoch, start)):
                self._update(batch, rows)
                tick()
                late = time.monotonic() - saved > self.recipe.checkpoint_minutes * 60
                save, stop = self.world.total(late and self.world.first, self.stopped)
                if save or stop:
                    assert batch.position is not None
                    self._save(batch.position.after())
                    saved = time.monotonic()
                if stop:
                    raise Interrupted(f"stopped by SIGTERM after {self.watch.counters.steps} steps; run again to go on")
            self.watch.counters.waited += batches.waited

    def _batches(self, reader: Reader, epoch: int, start: Position | None = None) -> Prefetch[Piece, Batch]:
        recipe = self.recipe
        return ready(
            reader.pieces(epoch, start), self._pictures(), recipe.prefetch, recipe.prefetch_threads, self.world.device
        )

    def _no_better(self, epoch: int) -> bool:
        """Whether the epochs should end. The weights that are looked at are those that would be saved."""
        if self.held_out is None:
            return False
        self.settle_statistics()
        with self._batches(self.held_out, epoch) as batches:  # as many as this process has: nobody waits for another
            figures = held_out_figures(partial(self.step.logits, net=self.net), batches, self.world)
        if self.recipe.loss == "pairwise":  # its scores rank and are no click rates
            figures = {"auc": figures["auc"]}
        self.watch.tell({f"held_out_{name}": value for name, value in figures.items()})
        loss = figures.get("log_loss", 1 - figures["auc"])
        if math.isnan(loss):
            raise InputError(
                f"all impressions of the held-out days {', '.join(self.held_out.days)} have the same label: no AUC can "
                "tell when to stop. Hold out more days (held_out_days), or train with the point-wise loss"
            )
        ends = self.early.saw(loss, self.net, self.world.first)
        self.net.train()
        return ends

    def _spare(self, epoch: int, start: Position | None) -> Batch | None:
        """The batch before `start`: what a process that has nothing left to read takes part with."""
        if start is None or self.world.size == 1:
            return None
        with self._batches(self.reader, epoch, start._replace(batch=start.batch - 1)) as batches:
            return next(batches).to(self.world.device)

    def _together(self, batches: Iterator[Batch], last: Batch | None) -> Iterator[tuple[Batch, int]]:
        """Each batch with the impressions of all processes; a process without any more repeats its last one, as 0."""
        while True:
            batch = next(batches, None)
            batch = batch.to(self.world.device) if batch is not None else None
            (rows,) = self.world.total(len(batch) if batch is not None else 0)
            if not rows:
                return
            last = batch if batch is not None else last
            assert last is not None  # the plan gives each process a buffer, and a checkpoint follows a batch
            self.counts = batch is not None
            yield last, int(rows)

    def _update(self, batch: Batch, rows: int) -> None:
        if self.net.cnn is not None and self.counts:
            self.seen.append((batch.images, batch.category_B))
        self.step.slow_down(self.watch.counters.impressions / max(1, self.watch.total))
        weight = len(batch) * self.world.size / rows if self.counts else 0.0
        loss, logits = self.step(batch, weight)
        if not math.isfinite(loss):
            raise AdLensError(self._not_finite(batch, loss))
        (pictures,) = self.world.total(len(batch.images) if self.counts and self.net.cnn is not None else 0)
        self.watch.saw(rows, int(pictures), loss, batch.label_N, logits)

    def _not_finite(self, batch: Batch, loss: float) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"not-finite-{self.world.rank}.safetensors"
        safetensors.torch.save_file(batch.tensors(), file)
        return (
            f"the loss, or a gradient, became {loss} at step {self.watch.counters.steps + 1}; nothing was learnt from "
            f"that batch, which is kept in {file}. Lower the recipe's rates, set clip_norm, or look at the features' "
            "numbers"
        )

    def _pictures(self) -> Pictures | None:
        """Whose pixels come with the batches: none where there is no CNN, or one that has seen them all."""
        return self.pictures if self.net.cnn is not None and self.step.fixed is None else None

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped = True  # after the step that runs

    def _save(self, position: Position) -> None:
        tensors, counters = self.watch.kept()
        seen = {f"seen.{at}": category_B for at, (_, category_B) in enumerate(self.seen)}
        facts = {
            "position": list(position), "counters": counters, "images": [images for images, _ in self.seen],
            "best": self.early.best if self.early.best < float("inf") else None, "since": self.early.since,
        }  # fmt: skip
        unreadable = torch.tensor(sorted(self.unreadable), dtype=torch.int64)
        kept = Kept({**tensors, **seen, "unreadable": unreadable}, facts)
        self.checkpoints.save(self.watch.counters.steps, self.net, self.step.optimisers, kept)

    def _resume(self) -> Position | None:
        kept = self.checkpoints.restore(self.net, self.step.optimisers)
        if kept is None:
            return None
        self.watch.restore(kept.tensors, kept.facts["counters"])
        if kept.facts["best"] is not None:
            self.early.best, self.early.since = kept.facts["best"], kept.facts["since"]
        self.before = set(kept.tensors["unreadable"].tolist())
        images = kept.facts["images"]
        self.seen.extend((digests, kept.tensors[f"seen.{at}"]) for at, digests in enumerate(images))
        return Position(*kept.facts["position"])

    @torch.no_grad()
    def settle_statistics(self) -> None:
        """BatchNorm's running averages trail the weights; the mean over the last batches replaces them, so that the
        lookup table's vectors look like those that the DCN learnt from."""
        if self.net.cnn is not None and self.recipe.bn_batches and self.step.fixed is None:
            norms = [one for one in self.net.cnn.modules() if isinstance(one, nn.BatchNorm2d | nn.SyncBatchNorm)]
            few = min(count for (count,) in self.world.gathered([len(self.seen)]))  # a pass waits for other GPUs
            momenta = [norm.momentum for norm in norms]
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # a plain mean over the batches
            self.net.cnn.train()
            for images, category_B in list(self.seen)[len(self.seen) - few :] if norms else ():
                device = self.world.device
                self.net.cnn(self.pictures.load(images).to(device), category_B.to(device))
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
            self.world.from_first(self.net.buffers())  # whose weights are saved
        self.net.eval()
