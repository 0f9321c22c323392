"""Early stop: days of the window that are not learnt from tell when further epochs no longer help."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from training import losses
from training.batch import Batch
from training.distributed import World

BEST = "best.safetensors"


@torch.no_grad()
def held_out_loss(logits: Callable[[Batch], Tensor], batches: Iterable[Batch], world: World) -> float:
    """Mean log loss in nats, over all processes' batches."""
    lost = rows = 0.0
    for batch in batches:
        here = batch.to(world.device)
        lost += float(losses.pointwise(logits(here), here.label_N)) * len(here)
        rows += len(here)
    lost, rows = world.total(lost, rows)
    return lost / rows


@dataclass
class EarlyStop:
    """Keeps the weights of the best epoch so far. `patience`: epochs without a gain after which training ends."""

    folder: Path
    patience: int
    best: float = float("inf")
    since: int = 0

    def saw(self, loss: float, net: nn.Module, first: bool) -> bool:
        """True where training should end. `first`: whether this process writes."""
        if loss < self.best:
            self.best, self.since = loss, 0
            if first:
                self.folder.mkdir(parents=True, exist_ok=True)
                kept = {name: value.contiguous() for name, value in net.state_dict().items()}
                safetensors.torch.save_file(kept, self.folder / BEST)
        else:
            self.since += 1
        return self.since >= self.patience

    def restore(self, net: nn.Module) -> None:
        """The best epoch's weights."""
        net.load_state_dict(safetensors.torch.load_file(self.folder / BEST))
