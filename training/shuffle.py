"""A buffer's impressions dealt to batches: a pure function of the buffer and its own generator.

Kept together are at most `share` impressions of one picture (ad groups), of one user (user groups), or nothing (plain).
A buffer gives equally many batches whatever is kept together, so that a comparison changes only the order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from training.batch import Batch, Position
from training.recipes import Grouping

DEAL = 2  # what a generator is for, beside (seed, epoch, buffer)


@dataclass(frozen=True)
class Deal:
    """How a recipe deals. `pictures`: slices of a picture's impressions in a batch, on average."""

    grouping: Grouping
    pictures: int
    share: int
    unknown_ad_share: float = 0.0


@dataclass(frozen=True)
class Buffer:
    """`held`: the buffer's impressions. Batch b is those at `order[cuts[b]:cuts[b + 1]]`."""

    held: Batch
    order: torch.Tensor
    cuts: list[int]
    grouping: Grouping
    epoch: int
    number: int

    def __len__(self) -> int:
        return len(self.cuts) - 1

    def batch(self, at: int) -> Batch:
        batch = self.held.take(self.order[self.cuts[at] : self.cuts[at + 1]])
        batch = batch.plain() if self.grouping == "none" else batch
        return replace(batch, position=Position(self.epoch, self.number, at))


@dataclass(frozen=True)
class Piece:
    """A batch that is not yet taken from its buffer: any thread may do that."""

    buffer: Buffer
    at: int

    def batch(self) -> Batch:
        return self.buffer.batch(self.at)


def deal(held: Batch, how: Deal, seed: int, epoch: int, number: int) -> Buffer:
    random = np.random.default_rng([seed, epoch, number, DEAL])
    if how.unknown_ad_share:
        # An ad's first days: its id has no row yet, so the other features and the picture must carry it.
        held = held.hide_ads(torch.from_numpy(random.random(len(held)) < how.unknown_ad_share))
    picture = held.picture_of_N.numpy()
    count = max(1, round(np.ceil(np.bincount(picture) / how.share).sum() / how.pictures))
    together = {"ad": picture, "user": held.user_of_N.numpy(), "none": np.arange(len(held))}[how.grouping]
    order, slice_of = _slices(together, how.share, random)
    place = random.permutation(slice_of[-1] + 1)[slice_of]
    # Equal batches: a last batch of one picture would ruin BatchNorm's statistics.
    ends = np.cumsum([len(part) for part in np.array_split(np.arange(slice_of[-1] + 1), count)])
    cuts = np.searchsorted(np.sort(place), ends)
    shuffled = torch.from_numpy(order[np.argsort(place, kind="stable")])
    return Buffer(held, shuffled, sorted({0, *cuts.tolist()}), how.grouping, epoch, number)


def _slices(
    key: NDArray[np.integer], share: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions ordered by key and shuffled within, and of each the number of its slice: at most `share` of one key."""
    order = np.lexsort((random.random(len(key)), key))
    sizes = np.bincount(key)
    place = np.arange(len(key)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    starts = (np.diff(key[order], prepend=-1) != 0) | (place % share == 0)
    return order, np.cumsum(starts) - 1
