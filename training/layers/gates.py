"""What attention does to a feature map: pool it, and multiply it by a gate. In as few passes over the map as possible.

Autograd would add up a map's gradients from its two pools and from its gate, each in a pass of its own, and share a
maximum's gradient among ties by further passes. Here a pool hands the map on to the gate, so that its backward pass
gets the gate's gradient and completes it; a maximum's gradient goes to one place (of ties, to one of them). Sums are
products with a constant vector: matrix products are what a CPU does fastest on bfloat16.

Shapes: B pictures, C channels, H, W the feature map.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Function = torch.autograd.Function


def _pixels(map_BCHW: Tensor) -> Tensor:
    """[B, H * W, C]; a view where the map is channels_last."""
    return map_BCHW.permute(0, 2, 3, 1).flatten(1, 2)


class _ChannelPools(Function):
    @staticmethod
    def forward(ctx: Any, map_BCHW: Tensor, both: bool) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.at, pixels = None, map_BCHW.shape[2] * map_BCHW.shape[3]
        mean_BC = torch.matmul(map_BCHW.new_full((1, pixels), 1 / pixels), _pixels(map_BCHW)).squeeze(1)
        maximum_BC = mean_BC[:, :0]
        if both:
            maximum, at = F.adaptive_max_pool2d(map_BCHW, 1, return_indices=True)
            maximum_BC, ctx.at = maximum.flatten(1), at
        return map_BCHW.view_as(map_BCHW), mean_BC, maximum_BC

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_map: Tensor, d_mean: Tensor, d_max: Tensor) -> tuple[Tensor, None]:
        whole = d_map + (d_mean / (d_map.shape[2] * d_map.shape[3]))[:, :, None, None]
        if ctx.at is not None:
            image, channel = torch.meshgrid(*(torch.arange(n, device=d_map.device) for n in d_max.shape), indexing="ij")
            row, column = ctx.at.flatten(1) // d_map.shape[3], ctx.at.flatten(1) % d_map.shape[3]
            whole[image, channel, row, column] += d_max
        return whole, None


class _SpatialPools(Function):
    @staticmethod
    def forward(ctx: Any, map_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        channels = map_BCHW.shape[1]
        mean = torch.matmul(_pixels(map_BCHW), map_BCHW.new_full((channels, 1), 1 / channels))
        maximum_B1HW, ctx.at = map_BCHW.max(1, keepdim=True)
        return map_BCHW.view_as(map_BCHW), maximum_B1HW, mean.view(maximum_B1HW.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_map: Tensor, d_max: Tensor, d_mean: Tensor) -> Tensor:
        whole = (d_map + d_mean / d_map.shape[1]).contiguous(memory_format=torch.channels_last)
        _pixels(whole).scatter_add_(2, ctx.at.flatten(2).mT, d_max.flatten(2).mT)  # on a view: ten times faster
        return whole


class _Gate(Function):
    """`gate` is [B, C, 1, 1] or [B, 1, H, W]."""

    @staticmethod
    def forward(ctx: Any, map_BCHW: Tensor, gate: Tensor) -> Tensor:
        ctx.save_for_backward(map_BCHW, gate)
        return map_BCHW * gate

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor, Tensor]:
        map_BCHW, gate = ctx.saved_tensors
        product = _pixels(d_out * map_BCHW)
        if gate.shape[1] == 1:
            d_gate = torch.matmul(product, product.new_ones(product.shape[2], 1))
        else:
            d_gate = torch.matmul(product.new_ones(1, product.shape[1]), product)
        return d_out * gate, d_gate.reshape(gate.shape)


def channel_pools(map_BCHW: Tensor, both: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The map to go on with, AvgP(F) [B, C], and MaxP(F) [B, C] (empty unless `both`)."""
    return _ChannelPools.apply(map_BCHW, both)


def channel_gate(map_BCHW: Tensor, gate_BC: Tensor) -> Tensor:
    """M_c * F (Eq 8)."""
    return _Gate.apply(map_BCHW, gate_BC.to(map_BCHW.dtype)[:, :, None, None])


def spatial_pools(map_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The map to go on with, MaxP(F') and AvgP(F'), both [B, 1, H, W]."""
    return _SpatialPools.apply(map_BCHW)


def spatial_gate(map_BCHW: Tensor, gate_B1HW: Tensor) -> Tensor:
    """M_s * F' (Eq 9)."""
    return _Gate.apply(map_BCHW, gate_B1HW.to(map_BCHW.dtype))
