"""Arrow rows of a group table -> a batch. No Python loop over rows.

The group's own side is read once a group; the other side's repeats beside each impression and is made distinct before
it is mapped to rows, so that mapping costs what differs and not what was logged.

Shapes as in training/batch.py; G groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from contracts.batch import CodeColumn, rows_of
from contracts.features import Feature
from contracts.hashing import code
from contracts.rows import RowMap
from training.batch import Batch, Block, Rows, block_of
from training.columns import codes_of, needed, refuse_absent
from training.sharing import distinct

Side = Literal["ad", "user"]
Columns = dict[str, CodeColumn]


@dataclass(frozen=True)
class Decoder:
    """`side`: whose groups they are. `persons`: whether the batch tells its users apart."""

    features: Sequence[Feature]
    maps: Mapping[str, RowMap]
    side: Side
    persons: bool = False

    def wanted(self) -> tuple[list[str], list[str]]:
        """The columns that are read: of the group, and of its impressions. No other id and no time is needed."""
        own: list[str] = [f"c_{f.name}" for f in needed(self.features) if f.side == self.side]
        inner = ["label", *(f"c_{f.name}" for f in needed(self.features) if f.side != self.side)]
        (own if self.side == "ad" else inner).append("image")
        if self.persons:
            (own if self.side == "user" else inner).append("user_id")
        return own, inner

    def decode(self, groups: pa.RecordBatch) -> Batch:
        """The impressions of the groups. Raises MissingArtifact where the groups lack a column."""
        lists = groups.column("impressions")
        inner = lists.flatten()
        beside = {inner.type.field(at).name: values for at, values in enumerate(inner.flatten())}
        outer = {name: groups.column(name) for name in groups.schema.names if name != "impressions"}
        for names, found in zip(self.wanted(), (outer, beside), strict=True):
            refuse_absent(f"{self.side}_groups", [name for name in names if name not in found])
        group_of_N = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int32)

        def codes(side: str) -> Columns:
            found = outer if side == self.side else beside
            return {f.name: codes_of(f, found[f"c_{f.name}"]) for f in needed(self.features) if f.side == side}

        ads, users, context = codes("ad"), codes("user"), codes("context")
        images = (outer if self.side == "ad" else beside)["image"].dictionary_encode()
        image = images.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        if self.side == "ad":
            ad_of_N = group_of_N
            first, user_of_N = distinct(_columns(users), len(inner))
            users = _taken(users, first)
        else:
            user_of_N = group_of_N
            first, ad_of_N = distinct([*_columns(ads), image], len(inner))
            ads, image = _taken(ads, first), image[first]
        category = ads["category_id"]
        rows_A = self.maps["category_id"].of_codes(category.codes.astype(np.int64), category.present)
        pairs, picture_of_A = distinct([image, rows_A], len(image))
        texts: list[str | None] = [*images.dictionary.to_pylist(), None]  # index -1, a null, is the last
        at_N = context | self._met(ads, ad_of_N) | self._met(users, user_of_N)
        return Batch(
            self._rows("ads", ads), self._rows("users", users), self._rows("context", at_N),
            torch.from_numpy(ad_of_N), torch.from_numpy(user_of_N), torch.from_numpy(picture_of_A),
            torch.from_numpy(rows_A[pairs].astype(np.int32)),
            torch.from_numpy(beside["label"].to_numpy(zero_copy_only=False).astype(np.float32)),
            [texts[at] for at in image[pairs]],
            person_N=_persons(beside["user_id"] if self.side == "ad" else outer["user_id"].take(pa.array(group_of_N)))
            if self.persons else None,
        )  # fmt: skip

    def _met(self, columns: Columns, of_N: NDArray[np.int32]) -> Columns:
        """At the impressions, what pairs and crosses of two sides are made of."""
        parents = {name for feature in self.features if block_of(feature) == "context" for name in feature.of}
        return {name: column.take(of_N) for name, column in columns.items() if name in parents}

    def _rows(self, block: Block, columns: Columns) -> Rows:
        chosen = [feature for feature in self.features if block_of(feature) == block]
        found = rows_of(chosen, self.maps, columns)
        return {name: torch.from_numpy(values.astype(np.int32)) for name, values in found.items()}


def _persons(user_id: pa.Array) -> torch.Tensor:
    """The ids' codes, int64 [N], each computed once."""
    ids = user_id.dictionary_encode()
    codes = np.fromiter((code(text) for text in ids.dictionary.to_pylist()), np.int64, len(ids.dictionary))
    return torch.from_numpy(codes[ids.indices.to_numpy(zero_copy_only=False)])


def _taken(columns: Columns, index: NDArray[np.integer]) -> Columns:
    return {name: column.take(index) for name, column in columns.items()}


def _columns(columns: Columns) -> list[NDArray[np.int64]]:
    """The bits of every column, int64. What is absent has code 0 or NaN: the same bits, and its own column."""
    parts = [part for column in columns.values() for part in (_bits(column.codes), column.present.astype(np.int64))]
    return [np.ascontiguousarray(one) for part in parts for one in (part.T if part.ndim == 2 else [part])]


def _bits(codes: NDArray[np.generic]) -> NDArray[np.int64]:
    return np.ascontiguousarray(codes).view(np.int64)
