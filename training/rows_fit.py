"""Fits every feature's RowMap on the window in one streaming pass: nothing here has seen day D (rule 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from contracts.batch import column_of
from contracts.features import Feature
from contracts.rows import FIRST, Codes, RowMap, fit_bins, fit_hash
from training.columns import Impressions


class Counts:
    """How often each code was seen; memory grows with the distinct codes only."""

    def __init__(self) -> None:
        self.codes: Codes = np.empty(0, np.int64)
        self.counts: NDArray[np.int64] = np.empty(0, np.int64)

    def add(self, codes: Codes) -> None:
        new, counts = np.unique(codes, return_counts=True)
        self.codes, back = np.unique(np.concatenate([self.codes, new]), return_inverse=True)
        self.counts = np.bincount(back, np.concatenate([self.counts, counts]), len(self.codes)).astype(np.int64)

    def vocabulary(self, feature: Feature) -> RowMap:
        """As contracts.rows.fit_vocabulary would fit it on all codes at once (a test compares)."""
        kept = self.counts >= feature.min_count
        codes, counts = self.codes[kept], self.counts[kept]
        order = np.lexsort((codes, -counts))[: feature.size - FIRST]
        return RowMap(feature.name, "vocabulary", feature.size, np.sort(codes[order]))


class Sample:
    """A uniform sample of bounded size: the numbers with the smallest random keys."""

    def __init__(self, limit: int, seed: int) -> None:
        self.limit, self.random = limit, np.random.default_rng(seed)
        self.keys: NDArray[np.float64] = np.empty(0)
        self.numbers: NDArray[np.float64] = np.empty(0)

    def add(self, numbers: NDArray[np.float64]) -> None:
        keys = np.concatenate([self.keys, self.random.random(len(numbers))])
        numbers = np.concatenate([self.numbers, numbers])
        if len(keys) > self.limit:
            kept = np.argpartition(keys, self.limit)[: self.limit]
            keys, numbers = keys[kept], numbers[kept]
        self.keys, self.numbers = keys, numbers


def fit(features: Sequence[Feature], stream: Iterable[Impressions], limit: int, seed: int) -> dict[str, RowMap]:
    """One map a feature. `limit`: numbers sampled for a numeric feature's bins."""
    counts = {f.name: Counts() for f in features if f.encoding == "vocabulary"}
    samples = {f.name: Sample(limit, seed + at) for at, f in enumerate(features) if f.encoding == "bins"}
    seen = [f for f in features if f.encoding != "hash"]
    for impressions in stream:
        for feature in seen:
            column = column_of(feature, impressions.codes)
            if feature.encoding == "vocabulary":
                counts[feature.name].add(column.codes[column.present].astype(np.int64))
            else:
                samples[feature.name].add(column.codes[column.present].astype(np.float64))

    def fitted(feature: Feature) -> RowMap:
        if feature.encoding == "vocabulary":
            return counts[feature.name].vocabulary(feature)
        return fit_bins(feature, samples[feature.name].numbers) if feature.encoding == "bins" else fit_hash(feature)

    return {feature.name: fitted(feature) for feature in features}
