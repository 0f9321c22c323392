"""Code -> row: the index into an embedding. Owned by a model, saved in its bundle, applied by this code everywhere.

Row 0 is padding (a constant zero vector), row 1 is unknown or missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.features import Feature

PADDING, UNKNOWN, FIRST = 0, 1, 2
Codes = NDArray[np.int64]
Rows = NDArray[np.int64]
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: spreads a cross's two codes


@dataclass(frozen=True)
class RowMap:
    """One feature's mapping. `table`: sorted vocabulary (int64), inner bin edges (float64), or empty for a hash."""

    feature: str
    encoding: str
    size: int
    table: NDArray[np.generic]

    @property
    def rows(self) -> int:
        """Rows of the embedding, reserved ones included."""
        if self.encoding == "vocabulary":
            return len(self.table) + FIRST
        return self.size if self.encoding == "hash" else len(self.table) + 1 + FIRST

    def of_codes(self, codes: Codes, present: NDArray[np.bool_]) -> Rows:
        """Rows of categorical codes, any shape; `present` False (missing) gives UNKNOWN."""
        if self.encoding == "hash":
            rows = (codes.view(np.uint64) % np.uint64(self.size - FIRST)).astype(np.int64) + FIRST
        else:
            if len(self.table) == 0:
                return np.full(codes.shape, UNKNOWN, np.int64)
            at = np.minimum(np.searchsorted(self.table, codes), len(self.table) - 1)
            rows = np.where(self.table[at] == codes, at + FIRST, UNKNOWN)
        return np.where(present, rows, UNKNOWN)

    def of_numbers(self, numbers: NDArray[np.float64]) -> Rows:
        """Rows of numbers by quantile bins; NaN gives UNKNOWN."""
        binned = np.searchsorted(self.table, numbers, side="right") + FIRST
        return np.where(np.isnan(numbers), UNKNOWN, binned)


def cross_codes(left: Codes, right: Codes) -> Codes:
    """The code of a cross from its two codes (wraps around in 64 bits; order matters)."""
    mixed = left.view(np.uint64) * _MIX ^ (right.view(np.uint64) + (_MIX >> np.uint64(1)))
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX
    return (mixed ^ (mixed >> np.uint64(32))).view(np.int64)


def fit_vocabulary(feature: Feature, codes: Codes) -> RowMap:
    """Codes (present ones only, any shape) seen at least `min_count` times; the most frequent `size` - 2 of them."""
    distinct, counts = np.unique(codes, return_counts=True)
    kept = counts >= feature.min_count
    distinct, counts = distinct[kept], counts[kept]
    order = np.lexsort((distinct, -counts))[: feature.size - FIRST]
    return RowMap(feature.name, "vocabulary", feature.size, np.sort(distinct[order]))


def fit_bins(feature: Feature, numbers: NDArray[np.float64]) -> RowMap:
    """Quantile bins: at most `size` - 2 of them, edges are distinct quantiles of the numbers that are not NaN."""
    real = numbers[~np.isnan(numbers)]
    inner = np.linspace(0, 1, feature.size - FIRST + 1)[1:-1]
    edges = np.unique(np.quantile(real, inner)) if len(real) else np.empty(0)
    return RowMap(feature.name, "bins", feature.size, edges.astype(np.float64))


def fit_hash(feature: Feature) -> RowMap:
    return RowMap(feature.name, "hash", feature.size, np.empty(0, np.int64))


def to_arrays(maps: Mapping[str, RowMap]) -> dict[str, NDArray[np.generic]]:
    """For safetensors: `<feature>` -> table. Encodings and sizes come from `describe`."""
    return {name: np.ascontiguousarray(row_map.table) for name, row_map in maps.items()}


def describe(maps: Mapping[str, RowMap]) -> dict[str, dict[str, object]]:
    return {name: {"encoding": m.encoding, "size": m.size} for name, m in maps.items()}


def from_arrays(
    described: Mapping[str, Mapping[str, object]], arrays: Mapping[str, NDArray[np.generic]]
) -> dict[str, RowMap]:
    return {name: RowMap(name, str(d["encoding"]), int(str(d["size"])), arrays[name]) for name, d in described.items()}
