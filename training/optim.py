"""Row-wise Adagrad for embeddings: one accumulator a row, and only the rows of the batch are touched.

Shapes: N looked-up rows, R distinct ones, D the embedding's width.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from contracts.errors import AdLensError


class RowwiseAdagrad(torch.optim.Optimizer):
    """s_r += mean(g_r^2); w_r -= rate * g_r / (sqrt(s_r) + eps), g_r the sum over the batch's uses of row r.

    FBGEMM's exact row-wise Adagrad (OptimType.EXACT_ROWWISE_ADAGRAD), whose accumulators start at 0, with
    `start` = 0. The default start damps a row's first steps: from 0 the first is `rate` long, however small the
    gradient. Gradients must be sparse. A padding row gets none from nn.Embedding, so its weights and accumulator stay.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float, eps: float = 1e-8, start: float = 1e-8):
        super().__init__(list(parameters), {"lr": rate, "eps": eps, "start": start})
        # Here, not at the first step: a checkpoint of any step holds them, and no step pays for the vocabulary's size.
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["sum"] = torch.full((len(parameter),), start, device=parameter.device)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    _update(parameter, parameter.grad, self.state[parameter]["sum"], group["lr"], group["eps"])


def _update(parameter: Tensor, gradient: Tensor, total: Tensor, rate: float, eps: float) -> None:
    if not gradient.is_sparse:
        raise AdLensError("RowwiseAdagrad was given a dense gradient; make the embedding with sparse=True")
    # Not coalesce(): it takes a third longer here, and the rows would be looked up through it once more.
    looked_up, values_ND = gradient._indices()[0], gradient._values()
    rows_R, place_N = torch.unique(looked_up, return_inverse=True)
    sum_RD = values_ND.new_zeros(len(rows_R), values_ND.shape[1]).index_add_(0, place_N, values_ND)
    total_R = total.index_select(0, rows_R) + sum_RD.square().mean(1)
    total.index_copy_(0, rows_R, total_R)
    weight_RD = parameter.index_select(0, rows_R)
    parameter.index_copy_(0, rows_R, weight_RD.addcdiv_(sum_RD, (total_R.sqrt() + eps)[:, None], value=-rate))
