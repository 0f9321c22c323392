"""Attention in a convolutional layer, with and without a category's prior: CSCNN, Eq 8 to 11.

Without prior these are SE (one pool, no spatial part), CBAM-channel and CBAM-all; with it, the same "+CSCNN" (Table 5).
Readings C1-C6, C9-C12, C28.
Shapes: B pictures, C channels, P = C' prior channels, K category rows, H, W the feature map, h = H' = W' of the prior.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.layers.gates import channel_gate, channel_pools, spatial_gate, spatial_pools

PRIOR_STD = 1.0  # C10: "randomly initialized" is all the paper says; at 0.02 categories are told apart too late


class ChannelAttention(nn.Module):
    """Eq 10: M_c = sigmoid(MLP[AvgP(F), A_c^k] + MLP[MaxP(F), A_c^k]), and Eq 8: F' = M_c * F.

    The shared MLP is (C + P) -> C/reduction -> C with a ReLU between (C1, C2). `both_pools` False leaves MaxP out: SE.
    """

    def __init__(
        self, channels: int, categories: int, prior: int = 20, reduction: int = 4, bias: bool = True,
        both_pools: bool = True,
    ):  # fmt: skip
        """`prior` 0: no category."""
        super().__init__()
        self.prior = nn.Parameter(torch.empty(categories, prior).normal_(std=PRIOR_STD)) if prior else None
        self.hidden = nn.Linear(channels + prior, max(1, channels // reduction), bias=bias)
        self.gate = nn.Linear(max(1, channels // reduction), channels, bias=bias)
        self.both_pools = both_pools
        for layer in (self.hidden, self.gate):  # He's: at PyTorch's own start a category moves a gate by 3 %
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, map_BCHW: Tensor, category_B: Tensor) -> Tensor:
        """`category_B`: row of the category_id RowMap, int64. Returns F' of the same shape as F."""
        map_BCHW, mean_BC, maximum_BC = channel_pools(map_BCHW, self.both_pools)
        pooled = torch.cat([mean_BC, maximum_BC]) if self.both_pools else mean_BC
        if self.prior is not None:
            prior_BP = F.embedding(category_B, self.prior).to(pooled.dtype)
            pooled = torch.cat([pooled, prior_BP.repeat(2 if self.both_pools else 1, 1)], 1)
        logits = self.gate(F.relu(self.hidden(pooled)))
        if self.both_pools:
            logits = sum(logits.chunk(2))
        return channel_gate(map_BCHW, torch.sigmoid(logits))


class SpatialAttention(nn.Module):
    """Eq 11: M_s = sigmoid(Conv7x7[MaxP(F'), AvgP(F'), A_s^k]), and Eq 9: F'' = M_s * F'.

    A_s^k is learnt as h x h and resized to H x W (C7: bilinear, half-pixel); zero padding (C6), no BatchNorm (C5),
    no bias (as CBAM's).
    """

    def __init__(self, categories: int, prior_size: int = 6):
        """`prior_size` 0: no category."""
        super().__init__()
        shape = (categories, 1, prior_size, prior_size)
        self.prior = nn.Parameter(torch.empty(shape).normal_(std=PRIOR_STD)) if prior_size else None
        self.filter = nn.Conv2d(3 if prior_size else 2, 1, 7, padding=3, bias=False)

    def forward(self, map_BCHW: Tensor, category_B: Tensor) -> Tensor:
        map_BCHW, maximum_B1HW, mean_B1HW = spatial_pools(map_BCHW)
        planes = [maximum_B1HW, mean_B1HW]
        if self.prior is not None:
            small = F.embedding(category_B, self.prior.flatten(1)).view(-1, 1, *self.prior.shape[2:])
            resized = F.interpolate(small, size=map_BCHW.shape[2:], mode="bilinear", align_corners=False)
            planes.append(resized.to(map_BCHW.dtype))
        return spatial_gate(map_BCHW, torch.sigmoid(self.filter(torch.cat(planes, 1))))


class ChannelThenSpatial(nn.Module):
    """Channel attention, then spatial attention (Eq 8, 9): F -> F''. Own parameters for each layer (C9)."""

    def __init__(self, channel: ChannelAttention, spatial: SpatialAttention):
        super().__init__()
        self.channel, self.spatial = channel, spatial

    def forward(self, map_BCHW: Tensor, category_B: Tensor) -> Tensor:
        return self.spatial(self.channel(map_BCHW, category_B), category_B)


class NoAttention(nn.Module):
    """F -> F: the plain CNN, which ignores the category."""

    def forward(self, map_BCHW: Tensor, category_B: Tensor) -> Tensor:
        return map_BCHW
