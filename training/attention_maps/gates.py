"""The gates of every attention module for pictures under several categories.

Shapes: P pictures, K categories, C channels, H, W the feature map, S pixels a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from training.cscnn import CSCNN
from training.layers.attention import ChannelThenSpatial


@dataclass(frozen=True)
class Gates:
    """Of one place: M_c [P, K, C] (Eq 10) and M_s [P, K, H, W] (Eq 11), float32 in 0..1. `name`: the module's."""

    name: str
    channel_PKC: Tensor
    spatial_PKHW: Tensor

    @property
    def channel_spread(self) -> float:
        """Standard deviation over the categories, mean over pictures and channels; 0: the category says nothing."""
        return float(self.channel_PKC.std(1, correction=0).mean())

    @property
    def spatial_spread(self) -> float:
        return float(self.spatial_PKHW.std(1, correction=0).mean())


@torch.inference_mode()
def gates(cnn: CSCNN, pictures_P3SS: Tensor, category_K: Tensor) -> list[Gates]:
    """Of each place from input to output: every picture under every category (rows of category_id), in eval mode."""
    count, kinds = len(pictures_P3SS), len(category_K)
    logits: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        logits[module] = output.float()

    places = {name: one for name, one in cnn.backbone.named_modules() if isinstance(one, ChannelThenSpatial)}
    layers = [layer for one in places.values() for layer in (one.channel.gate, one.spatial.filter)]
    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        cnn.eval().pooled(pictures_P3SS.repeat_interleave(kinds, 0), category_K.repeat(count))
    finally:
        for hook in hooks:
            hook.remove()
    found = []
    for name, one in places.items():
        channel = torch.stack(logits[one.channel.gate].chunk(2)).sum(0)  # of AvgP and MaxP
        spatial = logits[one.spatial.filter].squeeze(1)
        shown = name.removeprefix("attentions.").replace("attention", "")
        found.append(
            Gates(
                shown, torch.sigmoid(channel).unflatten(0, (count, kinds)),
                torch.sigmoid(spatial).unflatten(0, (count, kinds)),
            )
        )  # fmt: skip
    return found
