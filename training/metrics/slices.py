"""The same figures by slice of the rows: by category, by position, cold and warm ads, or any labels.

Shapes: N impressions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.metrics.likelihood import loss_of_rows, ratio
from training.metrics.ranking import auc_of_each
from training.metrics.rows import checked_probabilities, numbered


@dataclass(frozen=True)
class Slice:
    """`auc` is NaN where the slice has one class, `calibration` where it has no click."""

    name: object
    rows: int
    clicks: int
    auc: float
    log_loss: float
    calibration: float


def by_slice(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> list[Slice]:
    """One entry a distinct label of `groups` [N], sorted, a missing one (None) last; one sort, however many slices."""
    clicked, score = checked_probabilities(labels, scores)
    names, group_of = numbered(groups)
    rows, clicks, loss, predicted = (
        np.bincount(group_of, weight, len(names)).tolist()
        for weight in (None, clicked, loss_of_rows(clicked, score), score)
    )
    each = auc_of_each(clicked, score, group_of, len(names)).tolist()
    return [
        Slice(name, rows[at], int(clicks[at]), each[at], loss[at] / rows[at], ratio(predicted[at], int(clicks[at])))
        for at, name in enumerate(names)
    ]


def cold(ads: ArrayLike, shown: Mapping[str, int], below: int = 1) -> NDArray[np.bool_]:
    """Which rows [N] show a cold ad: one with fewer than `below` impressions in the training interval.

    `shown`: impressions by ad in that interval, an ad that it lacks had none. 1 is an ad that the model never saw;
    CSCNN 4.2 calls an item with fewer than 5 actions cold.
    """
    names, ad_of = numbered(ads)
    return np.array([shown.get(str(name), 0) < below for name in names], np.bool_)[ad_of]
