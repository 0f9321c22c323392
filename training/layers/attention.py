"""CSCNN's category-specific attention: Eq 8 to 11, with the readings C1-C6, C9-C12, C28.

Shapes: B pictures, C channels, P = C' prior channels, K category rows, H, W the feature map, h = H' = W' of the prior.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PRIOR_STD = 1.0  # C10: "randomly initialized" is all the paper says; at 0.02 categories are told apart too late


class ChannelAttention(nn.Module):
    """Eq 10: M_c = sigmoid(MLP[AvgP(F), A_c^k] + MLP[MaxP(F), A_c^k]), and Eq 8: F' = M_c * F.

    The shared MLP is (C + P) -> C/reduction -> C with a ReLU between (C1, C2).
    """

    def __init__(self, channels: int, categories: int, prior: int = 20, reduction: int = 4):
        super().__init__()
        self.prior = nn.Parameter(torch.empty(categories, prior))
        self.hidden = nn.Linear(channels + prior, channels // reduction)
        self.gate = nn.Linear(channels // reduction, channels)
        nn.init.normal_(self.prior, std=PRIOR_STD)

    def forward(self, map_BCHW: Tensor, category_B: Tensor) -> Tensor:
        """`category_B`: row of the category_id RowMap, int64. Returns F' of the same shape as F."""
        prior_BP = F.embedding(category_B, self.prior)
        pooled_2BC = torch.cat([map_BCHW.mean((2, 3)), map_BCHW.amax((2, 3))])
        hidden = F.relu(self.hidden(torch.cat([pooled_2BC, prior_BP.to(pooled_2BC.dtype).repeat(2, 1)], 1)))
        average_BC, maximum_BC = self.gate(hidden).chunk(2)
        return torch.sigmoid(average_BC + maximum_BC)[:, :, None, None] * map_BCHW


class SpatialAttention(nn.Module):
    """Eq 11: M_s = sigmoid(Conv7x7[MaxP(F'), AvgP(F'), A_s^k]), and Eq 9: F'' = M_s * F'.

    A_s^k is learnt as h x h and resized to H x W (C7: bilinear, half-pixel); zero padding (C6), no BatchNorm (C5),
    no bias (as CBAM's).
    """

    def __init__(self, categories: int, prior_size: int = 6):
        super().__init__()
        self.prior = nn.Parameter(torch.empty(categories, 1, prior_size, prior_size))
        self.filter = nn.Conv2d(3, 1, 7, padding=3, bias=False)
        nn.init.normal_(self.prior, std=PRIOR_STD)

    def forward(self, map_BCHW: Tensor, category_B: Tensor) -> Tensor:
        small = F.embedding(category_B, self.prior.flatten(1)).view(-1, 1, *self.prior.shape[2:])
        prior_B1HW = F.interpolate(small, size=map_BCHW.shape[2:], mode="bilinear", align_corners=False)
        planes = [map_BCHW.amax(1, keepdim=True), map_BCHW.mean(1, keepdim=True), prior_B1HW.to(map_BCHW.dtype)]
        return torch.sigmoid(self.filter(torch.cat(planes, 1))) * map_BCHW


class CategoryAttention(nn.Module):
    """Channel attention, then spatial attention (Eq 8, 9): F -> F''. Own parameters for each layer (C9)."""

    def __init__(self, channels: int, categories: int, prior: int = 20, prior_size: int = 6, reduction: int = 4):
        super().__init__()
        self.channel = ChannelAttention(channels, categories, prior, reduction)
        self.spatial = SpatialAttention(categories, prior_size)

    def forward(self, map_BCHW: Tensor, category_B: Tensor) -> Tensor:
        return self.spatial(self.channel(map_BCHW, category_B), category_B)


class NoAttention(nn.Module):
    """F -> F: the plain CNN, which ignores the category."""

    def forward(self, map_BCHW: Tensor, category_B: Tensor) -> Tensor:
        return map_BCHW
