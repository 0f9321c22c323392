"""What repeats in a block of rows, found once: the rows that differ, and where each row is among them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PRIME = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio


def distinct(columns: Sequence[NDArray[np.int64]], length: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The rows of a table that differ, by position, and each row's index among them.

    By a 64-bit hash and then a comparison of every value: rows that only share a hash stay apart (not shared at all).
    """
    hashes = np.zeros(length, np.uint64)
    for column in columns:
        hashes = (hashes ^ column.view(np.uint64)) * _PRIME
        hashes ^= hashes >> np.uint64(29)
    _, first, index = np.unique(hashes, return_index=True, return_inverse=True)
    differs = np.zeros(length, np.bool_)
    for column in columns:
        differs |= column != column[first][index]
    alone = np.flatnonzero(differs)
    index[alone] = len(first) + np.arange(len(alone))
    return np.concatenate([first, alone]), index.astype(np.int32)


def used(index: Tensor) -> tuple[Tensor, Tensor]:
    """The values of `index`, ascending and each once, and `index` among them."""
    values, place = np.unique(index.numpy(), return_inverse=True)
    return torch.from_numpy(values), torch.from_numpy(place.astype(np.int32))
