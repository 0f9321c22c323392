"""Row-wise Adagrad for embeddings: one accumulator a row, and only the rows of the batch are touched."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class RowwiseAdagrad(torch.optim.Optimizer):
    """s_r += mean(g_r^2); w_r -= rate * g_r / (sqrt(s_r) + eps). Gradients must be sparse."""

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float, eps: float = 1e-8, start: float = 1e-8):
        super().__init__(list(parameters), {"lr": rate, "eps": eps, "start": start})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad.coalesce()
                rows, values = gradient.indices()[0], gradient.values()
                state = self.state[parameter]
                if not state:
                    state["sum"] = torch.full((len(parameter),), group["start"], device=parameter.device)
                total: Tensor = state["sum"]
                total[rows] += values.square().mean(1)
                parameter.index_add_(0, rows, values / (total[rows].sqrt() + group["eps"])[:, None], alpha=-group["lr"])
