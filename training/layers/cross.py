"""The cross layer of Deep & Cross Networks, Eq 5 of CSCNN."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CrossLayer(nn.Module):
    """Eq 5: z_{l+1} = z_0 (z_l . w_l) + b_l + z_l. Shapes: z [N, D], w and b [D]."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.weight, std=width**-0.5)

    def forward(self, start_ND: Tensor, z_ND: Tensor) -> Tensor:
        return start_ND * (z_ND @ self.weight)[:, None] + self.bias + z_ND
