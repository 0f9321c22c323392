"""What every metric asks of its rows, and the numbering of users, categories and other labels of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contracts.errors import AdLensError

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]


def checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """(clicked [N], scores [N]). Raises AdLensError for other lengths, labels but 0 and 1, scores that are not finite.

    A NaN would be sorted somewhere, and any figure would come out.
    """
    label, score = np.asarray(labels), np.asarray(scores, np.float64)
    if label.shape != score.shape or label.ndim != 1:
        raise AdLensError(f"labels of shape {label.shape} and scores of shape {score.shape}; wanted one of each a row")
    clicked = label == 1
    other = int((~(clicked | (label == 0))).sum())
    if other:
        raise AdLensError(f"{other} of {len(label)} labels are neither 0 nor 1")
    bad = int((~np.isfinite(score)).sum())
    if bad:
        raise AdLensError(f"{bad} of {len(score)} scores are NaN or infinite; a metric of the others would mislead")
    return clicked, score


def checked_probabilities(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """As `checked`, and scores outside [0, 1] are refused: logits, or a model of the pair-wise loss."""
    clicked, score = checked(labels, scores)
    outside = int(((score < 0) | (score > 1)).sum())
    if outside:
        raise AdLensError(f"{outside} of {len(score)} scores lie outside [0, 1]; probabilities are wanted, not logits")
    return clicked, score


def numbered(labels: ArrayLike) -> tuple[list[object], Integers]:
    """Distinct labels, sorted with None last, and each row's index among them. Texts may be missing (None).

    A dictionary, because np.unique compares objects one by one: 20 times slower on 500,000 user ids.
    """
    values = np.asarray(labels)
    if values.dtype != object:
        distinct, index = np.unique(values, return_inverse=True)
        return distinct.tolist(), index.astype(np.int64)
    first: dict[object, int] = {}
    seen = np.fromiter((first.setdefault(value, len(first)) for value in values.tolist()), np.int64, len(values))
    names = sorted(first, key=lambda name: (name is None, "" if name is None else name))
    place = np.empty(len(names), np.int64)
    place[[first[name] for name in names]] = np.arange(len(names))
    return names, place[seen]
