"""What a first champion must beat: always the mean, and each ad's own smoothed click rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray

from contracts.delta_dataset import dataset
from contracts.errors import MissingArtifact

PRIOR = 20.0  # impressions at the mean click rate that every ad is given before its own are counted


@dataclass(frozen=True)
class Popularity:
    """Click rates counted on the training days. `rates`: ad id -> smoothed CTR; `mean` for an ad never shown."""

    mean: float
    rates: dict[str, float]

    def scores(self, ad_ids: NDArray[np.object_]) -> NDArray[np.float64]:
        return np.array([self.rates.get(ad_id, self.mean) for ad_id in ad_ids], np.float64)

    def constant(self, n: int) -> NDArray[np.float64]:
        return np.full(n, self.mean, np.float64)


def popularity(ad_groups: DeltaTable, days: Sequence[str]) -> Popularity:
    """Counts impressions and clicks by ad over some days of `ad_groups`. Raises MissingArtifact if they hold none."""
    shown: dict[str, int] = {}
    clicked: dict[str, int] = {}
    for batch in dataset(ad_groups, days).to_batches(columns=["ad_id", "impressions"]):
        lists = batch.column("impressions")
        labels = pc.struct_field(lists.flatten(), "label").to_numpy(zero_copy_only=False).astype(np.int64)
        group = pc.list_parent_indices(lists).to_numpy()
        counts = np.bincount(group, minlength=len(batch))
        clicks = np.bincount(group, weights=labels, minlength=len(batch))
        for ad_id, n, k in zip(batch.column("ad_id").to_pylist(), counts, clicks, strict=True):
            shown[ad_id] = shown.get(ad_id, 0) + int(n)
            clicked[ad_id] = clicked.get(ad_id, 0) + int(k)
    total, clicks_all = sum(shown.values()), sum(clicked.values())
    if total == 0:
        raise MissingArtifact("ad_groups holds no impression of the training days; run the stage groups for them")
    mean = (clicks_all + 1) / (total + 2)  # never exactly 0 or 1
    return Popularity(mean, {ad: (clicked[ad] + PRIOR * mean) / (shown[ad] + PRIOR) for ad in shown})
