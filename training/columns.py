"""Arrow rows of a group table -> flat numpy columns, one entry an impression. No Python loop over rows.

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
from contracts.errors import MissingArtifact
from contracts.features import BY_NAME, Feature, coded
from contracts.tables import group_tables

Texts = NDArray[np.object_]


@dataclass(frozen=True)
class Impressions:
    """`codes` holds what a model's features need; `image` is None where the ad is unknown or has no picture."""

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


Pair = tuple[str | None, int | None]


def pictures_of(impressions: Impressions) -> tuple[list[Pair], NDArray[np.int64]]:
    """The distinct (picture, category code) pairs and each impression's index among them."""
    category = impressions.codes["category_id"]
    index: dict[Pair, int] = {}
    pairs = zip(impressions.image.tolist(), category.codes.tolist(), category.present.tolist(), strict=True)
    picture_of = np.fromiter(
        (index.setdefault((image, int(code) if known else None), len(index)) for image, code, known in pairs),
        np.int64,
        len(impressions),
    )
    return list(index), picture_of


def needed(features: Sequence[Feature]) -> tuple[Feature, ...]:
    """The features whose codes a model reads; the category always, for the picture's sake."""
    return coded((*features, BY_NAME["category_id"]))


def group_columns(features: Sequence[Feature], found: Sequence[str]) -> list[str]:
    """The columns of a group table that these features are read from. `found`: those that the table has.

    Raises MissingArtifact where one is not there: the table was built without the features' set.
    """
    table = "user_groups" if "user_id" in found else "ad_groups"
    wanted = [n for n in group_tables(needed(features))[table].names() if n not in ("day", "group_id")]
    refuse_absent(table, [name for name in wanted if name not in found])
    return wanted


def refuse_absent(table: str, absent: Sequence[str]) -> None:
    if absent:
        raise MissingArtifact(
            f"{table} has no column {', '.join(absent)}: it was built without the model's feature set; "
            "name the set in the setting feature_sets and build features and groups of these days again"
        )


def flatten(groups: pa.RecordBatch, features: Sequence[Feature]) -> Impressions:
    """The impressions of groups, the group's columns repeated for each; codes of what these features need only.

    Raises MissingArtifact where the groups were built without one of them.
    """
    lists = groups.column("impressions")
    group_of = pc.list_parent_indices(lists)
    inner = lists.flatten()
    fields = {inner.type.field(at).name: values for at, values in enumerate(inner.flatten())}

    def column(name: str) -> pa.Array:
        return fields[name] if name in fields else groups.column(name).take(group_of)

    wanted = needed(features)
    there = {*fields, *groups.schema.names}
    refuse_absent("the group table", [f"c_{f.name}" for f in wanted if f"c_{f.name}" not in there])

    def texts(name: str) -> Texts:
        return np.asarray(column(name).to_numpy(zero_copy_only=False), object)

    return Impressions(
        {feature.name: codes_of(feature, column(f"c_{feature.name}")) for feature in wanted},
        column("label").to_numpy(zero_copy_only=False).astype(np.float32),
        *(texts(name) for name in ("user_id", "impression_id", "ad_id", "image")),
    )


def codes_of(feature: Feature, values: pa.Array) -> CodeColumn:
    """A code column as Arrow has it."""
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
