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


def column_of(feature: Feature, columns: Mapping[str, CodeColumn]) -> CodeColumn:
    """A feature's codes; those of a cross and of a pair are made here from its two features' codes."""
    if not feature.of:
        return columns[feature.name]
    left, right = (columns[name] for name in feature.of)
    if feature.kind == "cross":
        codes = cross_codes(left.codes.astype(np.int64), right.codes.astype(np.int64))
        return CodeColumn(codes, left.present & right.present)
    return _pair(feature.transform.how, left, right)


def _pair(how: str, left: CodeColumn, right: CodeColumn) -> CodeColumn:
    """What the elements of `left` (int64 [N, L]) find in `right` ([N, L'], or [N] of a categorical feature).

    `matches`: those found, [N, L], where they stood. `match_count`, `match_share`: their number and their share of the
    left ones, float64 [N]; missing where either side has no element.
    """
    codes, present = (a if a.ndim == 2 else a[:, None] for a in (right.codes, right.present))
    found = ((left.codes[:, :, None] == codes[:, None, :]) & present[:, None, :]).any(axis=2) & left.present
    if how == "matches":
        return CodeColumn(np.where(found, left.codes, 0), found)
    count, of = found.sum(axis=1).astype(np.float64), left.present.sum(axis=1)
    known = (of > 0) & present.any(axis=1)
    share = count / np.maximum(of, 1) if how == "match_share" else count
    return CodeColumn(np.where(known, share, np.nan), known)


def rows_of(
    features: Sequence[Feature], maps: Mapping[str, RowMap], columns: Mapping[str, CodeColumn]
) -> dict[str, Rows]:
    """Rows by feature, int64 [N] or [N, L].

    `columns` must hold every feature that is neither cross nor pair and both sides of every one that is, all of the
    same N.
    """
    rows: dict[str, Rows] = {}
    for feature in features:
        row_map, column = maps[feature.name], column_of(feature, columns)
        if feature.kind == "numeric":
            rows[feature.name] = row_map.of_numbers(column.codes.astype(np.float64))
            continue
        found = row_map.of_codes(column.codes.astype(np.int64), column.present)
        rows[feature.name] = found if found.ndim == 1 else np.where(column.present, found, PADDING)
    return rows
