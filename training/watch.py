"""What a training tells while it runs: a bar on stderr, curves in MLflow, and the figures of its end.

Each impression is scored before the step that learns from it: in the first epoch these figures are of unseen rows.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training import metrics

FIRST, LAST = 10, 50  # batches whose mean the first and the last figures are
POINTS = 50  # of a curve
Curve = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Trained:
    """`log_loss` and `auc`: of the last batches of the first process. `log_loss` is NaN with a pair-wise loss, whose
    scores are no probabilities; `first_log_loss`: the mean loss of the first steps, whichever it is. `waited`: seconds
    of `seconds` in which no batch was ready. `held_out_loss`: of the epoch that was kept, log loss, or 1 - AUC with a
    pair-wise loss; infinite where no days were held out."""

    log_loss: float
    auc: float
    first_log_loss: float
    steps: int
    impressions: int
    pictures: int
    seconds: float
    waited: float
    held_out_loss: float


@dataclass
class Counters:
    """What a checkpoint keeps of the figures."""

    steps: int = 0
    impressions: int = 0
    pictures: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    first: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


class Watch:
    """Counts; and, where `visible`, draws a bar of `total` impressions and hands points of curves to `curve`."""

    def __init__(self, total: int, visible: bool, curve: Curve | None = None):
        self.total, self.curve = total, curve if visible else None
        self.counters = Counters()
        self.scored: deque[tuple[NDArray[np.float32], NDArray[np.float32]]] = deque(maxlen=LAST)
        self.began, self.before = time.monotonic(), 0.0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=Console(file=sys.stderr), disable=not visible)

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        self.bar.start()
        self.task = self.bar.add_task("train", total=self.total, completed=self.counters.impressions)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.stop()

    def saw(self, rows: int, pictures: int, loss: float, labels: torch.Tensor, logits: torch.Tensor) -> None:
        """One update over `rows` impressions of all processes; labels and logits are this process's."""
        counters, point = self.counters, self.counters.impressions * POINTS // max(1, self.total)
        counters.steps, counters.impressions = counters.steps + 1, counters.impressions + rows
        counters.pictures += pictures
        counters.seconds = self.before + time.monotonic() - self.began
        if len(counters.first) < FIRST:
            counters.first.append(loss)
        counters.losses = [*counters.losses[1 - LAST :], loss]
        self.scored.append((labels.float().cpu().numpy(), torch.sigmoid(logits.float()).cpu().numpy()))
        rate = counters.impressions / max(1e-9, counters.seconds)
        told = f"train loss {np.mean(counters.losses):.4f} {rate:,.0f} impressions/s"
        self.bar.update(self.task, advance=rows, description=told)
        if self.curve and counters.impressions * POINTS // max(1, self.total) > point:
            figures = {"loss": float(np.mean(counters.losses)), "impressions_per_second": rate}
            self.tell(figures | {"auc": metrics.auc(*self.joined())})

    def tell(self, figures: dict[str, float]) -> None:
        """A point of each one's curve."""
        if self.curve:
            self.curve(self.counters.steps, figures)

    def joined(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        labels, scores = (np.concatenate(part) for part in zip(*self.scored, strict=True))
        return labels, scores

    def kept(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """For a checkpoint: tensors, and what JSON holds."""
        labels, scores = self.joined()
        tensors = {"labels": torch.from_numpy(labels), "scores": torch.from_numpy(scores)}
        return tensors, asdict(self.counters) | {"sizes": [len(part) for part, _ in self.scored]}

    def restore(self, tensors: dict[str, torch.Tensor], kept: dict[str, Any]) -> None:
        sizes = kept.pop("sizes")
        parts = (tensors[name].split(sizes) for name in ("labels", "scores"))
        self.scored.extend((labels.numpy(), scores.numpy()) for labels, scores in zip(*parts, strict=True))
        self.counters = Counters(**kept)
        self.before = self.counters.seconds

    def trained(self, pointwise: bool, held_out_loss: float) -> Trained:
        labels, scores = self.joined()
        counters = self.counters
        return Trained(
            log_loss=metrics.log_loss(labels, scores) if pointwise else float("nan"),
            auc=metrics.auc(labels, scores),
            first_log_loss=float(np.mean(counters.first)),
            steps=counters.steps, impressions=counters.impressions, pictures=counters.pictures,
            seconds=counters.seconds, waited=counters.waited, held_out_loss=held_out_loss,
        )  # fmt: skip
