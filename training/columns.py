"""Arrow rows of `ad_groups` -> flat numpy columns, one entry an impression. No Python loop over rows.

Shapes: N impressions, L the feature's limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.batch import CodeColumn
from contracts.features import FEATURES, Feature
from contracts.tables import group_tables

CODED: tuple[Feature, ...] = tuple(feature for feature in FEATURES if feature.kind != "cross")
GROUP_COLUMNS = [name for name in group_tables()["ad_groups"].names() if name not in ("day", "group_id")]
Texts = NDArray[np.object_]


@dataclass(frozen=True)
class Impressions:
    """`codes` holds every coded feature; `image` is None where the ad is unknown or has no picture."""

    codes: dict[str, CodeColumn]
    label: NDArray[np.float32]
    user_id: Texts
    impression_id: Texts
    ad_id: Texts
    image: Texts

    def __len__(self) -> int:
        return len(self.label)

    def take(self, index: NDArray[np.integer]) -> Impressions:
        return Impressions(
            {name: column.take(index) for name, column in self.codes.items()},
            self.label[index], self.user_id[index], self.impression_id[index], self.ad_id[index], self.image[index],
        )  # fmt: skip


def concatenate(parts: Sequence[Impressions]) -> Impressions:
    def joined(name: str) -> CodeColumn:
        columns = [part.codes[name] for part in parts]
        return CodeColumn(np.concatenate([c.codes for c in columns]), np.concatenate([c.present for c in columns]))

    return Impressions(
        {name: joined(name) for name in parts[0].codes},
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("label", "user_id", "impression_id", "ad_id", "image")
        ),
    )


def flatten(groups: pa.RecordBatch) -> Impressions:
    """The impressions of ad groups, the ad's columns repeated for each."""
    lists = groups.column("impressions")
    group_of = pc.list_parent_indices(lists)
    inner = lists.flatten()
    fields = {inner.type.field(at).name: values for at, values in enumerate(inner.flatten())}

    def column(name: str) -> pa.Array:
        return fields[name] if name in fields else groups.column(name).take(group_of)

    def texts(name: str) -> Texts:
        return np.asarray(column(name).to_numpy(zero_copy_only=False), object)

    return Impressions(
        {feature.name: _codes(feature, column(f"c_{feature.name}")) for feature in CODED},
        column("label").to_numpy(zero_copy_only=False).astype(np.float32),
        *(texts(name) for name in ("user_id", "impression_id", "ad_id", "image")),
    )


def _codes(feature: Feature, values: pa.Array) -> CodeColumn:
    if feature.kind == "numeric":
        numbers = values.fill_null(float("nan")).to_numpy(zero_copy_only=False).astype(np.float64)
        return CodeColumn(numbers, ~np.isnan(numbers))
    if feature.kind == "categorical":
        present = values.is_valid().to_numpy(zero_copy_only=False)
        return CodeColumn(values.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64), present)
    codes = np.zeros((len(values), feature.limit), np.int64)
    present = np.zeros((len(values), feature.limit), np.bool_)
    flat = values.flatten()  # skips null lists
    row = pc.list_parent_indices(values).to_numpy(zero_copy_only=False)
    lengths = values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    at = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    kept = at < feature.limit
    codes[row[kept], at[kept]] = flat.fill_null(0).to_numpy(zero_copy_only=False)[kept]
    present[row[kept], at[kept]] = flat.is_valid().to_numpy(zero_copy_only=False)[kept]
    return CodeColumn(codes, present)
