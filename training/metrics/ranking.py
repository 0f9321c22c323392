"""AUC and GAUC, exact: a tie counts half.

Shapes: N impressions, W owners of weights (impressions or users), K distinct scores of clicks, G groups.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.metrics.rows import Floats, Integers, checked, numbered


def auc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Share of (click, no click) pairs in the right order, a tie counting half; NaN with one class only.

    `weights` [N]: a pair counts the product of its two. Raises AdLensError as `checked` does.
    """
    ranked = Ranked(*checked(labels, scores))
    return ranked.auc(np.ones(ranked.rows, np.int64) if weights is None else np.asarray(weights, np.float64))


class Ranked:
    """Scores sorted once; the AUC of any weighting is then one cumulative sum over the rows without a click."""

    def __init__(self, clicked: NDArray[np.bool_], scores: Floats, owner: Integers | None = None):
        """`owner` [N]: whose weight a row takes, an index into W; itself by default."""
        owner = np.arange(len(scores)) if owner is None else owner
        self.rows = len(scores)
        clicks, others = np.flatnonzero(clicked), np.flatnonzero(~clicked)
        clicks, others = clicks[np.argsort(scores[clicks])], others[np.argsort(scores[others])]
        distinct, self.starts = np.unique(scores[clicks], return_index=True)
        self.below = np.searchsorted(scores[others], distinct, "left")
        self.below_or_equal = np.searchsorted(scores[others], distinct, "right")
        self.owner_of_clicks, self.owner_of_others = owner[clicks], owner[others]

    def auc(self, weights_W: NDArray[np.number]) -> float:
        """With integer weights every sum is exact: a model compared with itself differs by 0."""
        if not len(self.starts):
            return float("nan")
        clicks_K = np.add.reduceat(weights_W[self.owner_of_clicks], self.starts)
        others = np.cumsum(weights_W[self.owner_of_others])
        others = np.concatenate([np.zeros(1, others.dtype), others])
        pairs = float(clicks_K.sum()) * float(others[-1])
        twice = (clicks_K * (others[self.below] + others[self.below_or_equal])).sum()
        return float(twice) / (2 * pairs) if pairs > 0 else float("nan")


def auc_of_each(clicked: NDArray[np.bool_], scores: Floats, group_of_N: Integers, groups: int) -> NDArray[np.float64]:
    """AUC [G] within each group, NaN for one with one class: one sort for all groups, no loop over them."""
    order = np.lexsort((scores, group_of_N))
    group, score, label = group_of_N[order], scores[order], clicked[order].astype(np.int64)
    starts = np.flatnonzero(np.r_[True, (group[1:] != group[:-1]) | (score[1:] != score[:-1])][: len(group)])
    if not len(starts):
        return np.full(groups, np.nan)
    clicks, rows = np.add.reduceat(label, starts), np.diff(np.r_[starts, len(group)])
    others, run_of = rows - clicks, group[starts]
    clicks_G, others_G = (np.bincount(run_of, part, groups) for part in (clicks, others))
    earlier = np.cumsum(others) - others - (np.cumsum(others_G) - others_G)[run_of]  # of the same group
    twice_G = np.bincount(run_of, clicks * (2 * earlier + others), groups)
    with np.errstate(invalid="ignore"):
        return np.where(clicks_G * others_G > 0, twice_G / (2 * clicks_G * others_G), np.nan)


def gauc(
    labels: ArrayLike, scores: ArrayLike, users: ArrayLike, by: Literal["impressions", "clicks"] = "impressions"
) -> float:
    """Mean of the users' AUCs, weighted by their impressions: DIN's Eq 10, and DICM's formula in IV.A, are the same.

    By clicks is what RecBole computes under this name; kept for comparisons with it. Users with one class are left out
    of both sums (reading N10); NaN where all are.
    """
    clicked, score = checked(labels, scores)
    names, user_of = numbered(users)
    total, weight = gauc_parts(clicked, score, user_of, len(names), by)
    return float(total.sum() / weight.sum()) if weight.sum() else float("nan")


def gauc_parts(
    clicked: NDArray[np.bool_], scores: Floats, user_of_N: Integers, users: int, by: str = "impressions"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each user's term of GAUC's two sums: weight x AUC and weight, zeros for a user with one class."""
    each = auc_of_each(clicked, scores, user_of_N, users)
    weight = np.bincount(user_of_N, clicked if by == "clicks" else None, users).astype(np.float64)
    weight[np.isnan(each)] = 0
    return weight * np.nan_to_num(each), weight
