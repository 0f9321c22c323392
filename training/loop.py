"""The training loop: one pass by default, three optimisers, a NaN guard, a progress bar on stderr."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from contracts.errors import AdLensError
from contracts.features import Feature
from contracts.rows import RowMap
from training import metrics
from training.batch import Batch
from training.model import CTRModel
from training.optim import RowwiseAdagrad
from training.pictures import Pictures
from training.recipes import Recipe

LAST = 50  # batches that the reported log loss and AUC are taken over
HOLD = 0.2  # share of a pass before Adam's rates fall


@dataclass(frozen=True)
class Trained:
    """`log_loss` and `auc`: of the last batches, each scored before the step that learnt from it."""

    log_loss: float
    auc: float
    first_log_loss: float
    steps: int
    impressions: int
    pictures: int
    seconds: float


def seed_everything(seed: int, threads: int) -> None:
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)


def optimisers(recipe: Recipe, net: CTRModel) -> list[torch.optim.Optimizer]:
    """Embeddings row-wise; DCN's layers, CNN, and the category priors by Adam at their own rates."""
    embeddings = list(net.dcn.embedding.parameters())
    dense = [p for name, p in net.dcn.named_parameters() if not name.startswith("embedding.")]
    groups = [{"params": dense, "lr": recipe.dense_rate}]
    if net.cnn is not None:
        priors = net.cnn.prior_parameters()
        inside = {id(p) for p in priors}
        rest = [p for p in net.cnn.parameters() if id(p) not in inside]
        groups.append({"params": rest, "lr": recipe.cnn_rate})
        groups.append({"params": priors, "lr": recipe.prior_rate})
    groups = [group for group in groups if group["params"]]
    return [RowwiseAdagrad(embeddings, recipe.embedding_rate), torch.optim.Adam(groups, fused=True)]


class Loop:
    """Holds what a step needs; `run` goes through the epochs."""

    def __init__(
        self, recipe: Recipe, features: Sequence[Feature], maps: Mapping[str, RowMap], net: CTRModel,
        pictures: Pictures, seed: int,
    ):  # fmt: skip
        self.recipe, self.features, self.maps, self.net, self.pictures = recipe, features, maps, net, pictures
        self.optimisers = optimisers(recipe, net)
        self.rates = [group["lr"] for group in self.optimisers[1].param_groups]
        self.seen: deque[tuple[Tensor, Tensor]] = deque(maxlen=max(1, recipe.bn_batches))
        self.scored: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=LAST)

    def logits(self, batch: Batch) -> Tensor:
        if batch.pictures_B3SS is not None:
            self.seen.append((batch.pictures_B3SS, batch.category_B))
        return self.net(batch)

    def step(self, batch: Batch) -> float:
        """One update. Raises AdLensError when the loss is not finite: nothing is published from such a run."""
        labels = batch.label_N
        logits = self.logits(batch)
        loss = F.binary_cross_entropy_with_logits(logits, labels)
        value = float(loss.detach())
        if not np.isfinite(value):
            raise AdLensError(f"the loss became {value}; lower the recipe's rates or look at the features' numbers")
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for optimiser in self.optimisers:
            optimiser.step()
        self.scored.append((labels.numpy(), torch.sigmoid(logits.detach()).numpy()))
        return value

    def slow_down(self, done: float) -> None:
        """Adam's rates, constant in the first fifth of a pass, then fall in a line: `done` goes from 0 to 1."""
        share = 1 - (1 - self.recipe.rate_end) * min(1.0, max(0.0, (done - HOLD) / (1 - HOLD)))
        for group, rate in zip(self.optimisers[1].param_groups, self.rates, strict=True):
            group["lr"] = rate * share

    def run(self, epoch: Callable[[int], Iterator[Batch]], total: int) -> Trained:
        """`epoch(n)` gives the batches of epoch n; `total`: impressions an epoch, for the progress bar."""
        started, losses, steps, impressions, pictures = time.monotonic(), [], 0, 0, 0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(file=sys.stderr), transient=False) as progress:
            task = progress.add_task("train", total=total * self.recipe.epochs)
            self.net.train()
            for number in range(self.recipe.epochs):
                for batch in epoch(number):
                    self.slow_down(impressions / max(1, total * self.recipe.epochs))
                    losses.append(self.step(batch))
                    steps, impressions = steps + 1, impressions + len(batch)
                    pictures += len(batch.images)
                    rate = impressions / (time.monotonic() - started)
                    text = f"train loss {np.mean(losses[-LAST:]):.4f} {rate:,.0f} impressions/s"
                    progress.update(task, advance=len(batch), description=text)
        if not steps:
            raise AdLensError("no batch was read: the window's groups are empty")
        self.settle_statistics()
        labels, scores = (np.concatenate(part) for part in zip(*self.scored, strict=True))
        return Trained(
            log_loss=metrics.log_loss(labels, scores),
            auc=metrics.auc(labels, scores),
            first_log_loss=float(np.mean(losses[: max(1, steps // 20)])),
            steps=steps,
            impressions=impressions,
            pictures=pictures if self.net.cnn is not None else 0,
            seconds=time.monotonic() - started,
        )

    @torch.no_grad()
    def settle_statistics(self) -> None:
        """BatchNorm's running averages trail the weights; the mean over the last batches replaces them, so that the
        lookup table's vectors look like those that the DCN learnt from."""
        if self.net.cnn is not None and self.recipe.bn_batches:
            norms = [module for module in self.net.cnn.modules() if isinstance(module, nn.BatchNorm2d)]
            momenta = [norm.momentum for norm in norms]
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # a plain mean over the batches
            self.net.cnn.train()
            for pictures, category_B in self.seen:
                self.net.cnn(pictures, category_B)
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
        self.net.eval()
