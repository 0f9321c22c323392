"""Early stop: days of the window that are not learnt from tell when further epochs no longer help."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from training.batch import Batch
from training.distributed import World
from training.metrics import StreamingAuc, StreamingLikelihood

BEST = "best.safetensors"


@torch.no_grad()
def held_out_figures(logits: Callable[[Batch], Tensor], batches: Iterable[Batch], world: World) -> dict[str, float]:
    """`log_loss` in nats, `calibration` and `auc` (StreamingAuc) over all processes' batches, however many they are.

    With a pair-wise loss only `auc` says something: its scores are no click rates. `auc` is NaN with one class only.
    Raises AdLensError for logits that are NaN or infinite.
    """
    likelihood, ranking = StreamingLikelihood(), StreamingAuc()
    for batch in batches:
        here = batch.to(world.device)
        labels_N, logits_N = here.label_N.cpu().numpy(), logits(here).double().cpu()
        ranking.update(labels_N, logits_N.numpy())
        likelihood.update(labels_N, torch.sigmoid(logits_N).numpy())
    likelihood.state, ranking.counts = world.added(likelihood.state), world.added(ranking.counts)
    return {"log_loss": likelihood.log_loss(), "calibration": likelihood.calibration(), "auc": ranking.auc()}


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
