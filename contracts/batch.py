"""Columns of codes -> rows of embeddings, the same for training, gate and predictor.

Shapes: N items (impressions, or the candidate ads of one request), L the feature's `limit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.features import Feature
from contracts.rows import PADDING, RowMap, Rows, cross_codes


@dataclass(frozen=True)
class CodeColumn:
    """Codes of one feature. categorical: int64 [N]; multi_hot and sequence: int64 [N, L]; numeric: float64 [N].

    `present` has the shape of `codes`: False for a missing value or for padding.
    """

    codes: NDArray[np.generic]
    present: NDArray[np.bool_]

    def take(self, index: NDArray[np.integer]) -> CodeColumn:
        return CodeColumn(self.codes[index], self.present[index])

    @classmethod
    def categorical(cls, codes: Sequence[int | None]) -> CodeColumn:
        present = np.array([c is not None for c in codes], np.bool_)
        return cls(np.array([c or 0 for c in codes], np.int64), present)

    @classmethod
    def numeric(cls, numbers: Sequence[float | None]) -> CodeColumn:
        values = np.array([np.nan if n is None else n for n in numbers], np.float64)
        return cls(values, ~np.isnan(values))

    @classmethod
    def lists(cls, codes: Sequence[Sequence[int] | None], limit: int) -> CodeColumn:
        padded = np.zeros((len(codes), limit), np.int64)
        present = np.zeros((len(codes), limit), np.bool_)
        for at, row in enumerate(codes):
            kept = list(row or ())[:limit]
            padded[at, : len(kept)] = kept
            present[at, : len(kept)] = True
        return cls(padded, present)


def rows_of(
    features: Sequence[Feature], maps: Mapping[str, RowMap], columns: Mapping[str, CodeColumn]
) -> dict[str, Rows]:
    """Rows by feature, int64 [N] or [N, L]; crosses are made here from the two features' codes.

    `columns` must hold every feature that is no cross and both sides of every cross, all of the same N.
    """
    rows: dict[str, Rows] = {}
    for feature in features:
        row_map = maps[feature.name]
        if feature.kind == "cross":
            left, right = (columns[name] for name in feature.of)
            codes = cross_codes(left.codes.astype(np.int64), right.codes.astype(np.int64))
            rows[feature.name] = row_map.of_codes(codes, left.present & right.present)
        elif feature.kind == "numeric":
            rows[feature.name] = row_map.of_numbers(columns[feature.name].codes.astype(np.float64))
        else:
            column = columns[feature.name]
            found = row_map.of_codes(column.codes.astype(np.int64), column.present)
            if feature.kind != "categorical":
                found = np.where(column.present, found, PADDING)
            rows[feature.name] = found
    return rows
