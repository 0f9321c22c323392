"""One update of the weights: forward, loss, backward, clip, exchange, three optimisers.

Shapes: N impressions of this process's batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from training import losses
from training.batch import Batch
from training.distributed import World, exchange_rows, shared
from training.fixed import FixedFeatures
from training.model import CTRModel
from training.optim import RowwiseAdagrad
from training.recipes import Recipe

HOLD = 0.2  # share of the training before Adam's rates fall


def optimisers(recipe: Recipe, net: CTRModel) -> dict[str, torch.optim.Optimizer]:
    """Embeddings row-wise; DCN's layers, CNN, and the category priors by Adam at their own rates."""
    dense = [p for name, p in net.dcn.named_parameters() if not name.startswith("embedding.")]
    dense += list(net.alone.parameters()) if net.alone is not None else []
    groups: list[tuple[list[nn.Parameter], float]] = [(dense, recipe.dense_rate)]
    if net.cnn is not None:
        priors = net.cnn.prior_parameters()
        inside = {id(p) for p in priors}
        rest = [p for p in net.cnn.parameters() if id(p) not in inside]
        groups += [(rest, recipe.cnn_rate), (priors, recipe.prior_rate)]
    learning = [{"params": [p for p in group if p.requires_grad], "lr": rate} for group, rate in groups]
    adam = torch.optim.Adam([group for group in learning if group["params"]], fused=True)
    return {"embeddings": RowwiseAdagrad(net.dcn.embedding.parameters(), recipe.embedding_rate), "dense": adam}


class Step:
    """Holds what an update needs. `fixed`: where the CNN is not trained, its features."""

    def __init__(self, recipe: Recipe, net: CTRModel, world: World, fixed: FixedFeatures | None = None):
        self.recipe, self.world, self.fixed = recipe, world, fixed
        self.embeddings = list(net.dcn.embedding.parameters())
        self.dense = [p for name, p in net.named_parameters() if p.requires_grad and ".embedding." not in f".{name}"]
        self.optimisers = optimisers(recipe, net)
        self.rates = [group["lr"] for group in self.optimisers["dense"].param_groups]
        self.net: nn.Module = shared(net, self.embeddings, world)

    def slow_down(self, done: float) -> None:
        """Adam's rates for the share `done` of the training: they rise over `warm_up`, stay, and fall in a line."""
        up = min(1.0, (done + 1e-3) / self.recipe.warm_up) if self.recipe.warm_up else 1.0
        down = 1 - (1 - self.recipe.rate_end) * min(1.0, max(0.0, (done - HOLD) / (1 - HOLD)))
        for group, rate in zip(self.optimisers["dense"].param_groups, self.rates, strict=True):
            group["lr"] = rate * up * down

    def logits(self, batch: Batch, net: nn.Module | None = None) -> Tensor:
        """`net`: taken in place of the shared one, each of whose forward passes waits for all other processes."""
        return self._both(batch, self.net if net is None else net)[0]

    def _both(self, batch: Batch, through: nn.Module) -> tuple[Tensor, Tensor | None]:
        if self.fixed is None:
            return through(batch)
        return through(batch, self.fixed(list(zip(batch.images, batch.category_B.tolist(), strict=True))))

    def __call__(self, batch: Batch, weight: float = 1.0) -> tuple[float, Tensor]:
        """Returns the mean loss of this process's batch and its logits [N]; NaN where a gradient was not finite, and
        then nothing was learnt. `weight`: of that mean among the processes' own; 0 where a process has run out of data
        and takes part for the others' sake only."""
        logits, alone = self._both(batch, self.net)
        loss = self.loss(logits, batch)
        learnt = loss if alone is None else loss + self.recipe.picture_loss * self.loss(alone, batch)
        if not torch.isfinite(learnt.detach()):
            return float(learnt.detach()), logits.detach()  # nothing is learnt from it: the loop stops
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        (learnt * weight).backward()
        exchange_rows(self.embeddings, self.world)
        norm = nn.utils.get_total_norm([p.grad for p in self.dense if p.grad is not None])
        if not torch.isfinite(norm):  # of a finite loss: one step with it, and every weight is NaN
            return math.nan, logits.detach()
        if self.recipe.clip_norm:
            nn.utils.clip_grads_with_norm_(self.dense, self.recipe.clip_norm, norm)
        for optimiser in self.optimisers.values():
            optimiser.step()
        return float(loss.detach()), logits.detach()

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        if self.recipe.loss == "pairwise":
            return losses.pairwise(logits, batch.label_N, batch.person_N)
        return losses.pointwise(logits, batch.label_N)
