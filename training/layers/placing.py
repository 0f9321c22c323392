"""Which attention goes behind which convolutional layer: Table 5's kinds, Fig 5's L'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from training.layers.attention import ChannelAttention, ChannelThenSpatial, NoAttention, SpatialAttention

Kind = Literal["none", "se", "cbam_channel", "cbam"]


@dataclass(frozen=True)
class Attentions:
    """A backbone calls it for each of its places, in order, and gets that place's module.

    `prior_channels` C' and `prior_size` H' = W' count where `category_prior` is set: then it is CSCNN's. `last`: L',
    how many places, counted from the output, get one; None is all.
    """

    kind: Kind
    category_prior: bool
    categories: int
    prior_channels: int = 20
    prior_size: int = 6
    reduction: int = 4
    bias: bool = True
    last: int | None = None

    def __call__(self, channels: int, place: int, places: int) -> nn.Module:
        """`place` counts from 0 at the input; `places`: how many the backbone has."""
        if self.kind == "none" or (self.last is not None and place < places - self.last):
            return NoAttention()
        prior = self.prior_channels if self.category_prior else 0
        channel = ChannelAttention(channels, self.categories, prior, self.reduction, self.bias, self.kind != "se")
        if self.kind != "cbam":
            return channel
        return ChannelThenSpatial(
            channel, SpatialAttention(self.categories, self.prior_size if self.category_prior else 0)
        )
