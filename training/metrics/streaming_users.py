"""GAUC for more impressions than memory holds: rows that come a user's together, as `user_groups` keeps them.

Shapes: N impressions of a batch.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contracts.errors import AdLensError
from training.metrics.ranking import gauc_parts
from training.metrics.rows import Integers, checked, numbered
from training.metrics.streaming import STEPS, added, in_steps


class StreamingGauc:
    """`gauc` a batch at a time: exact but for 2^-31 a user, and memory for the rows of one user.

    All of a user's rows come one after the other and to one rank. A user who comes again later counts as another one:
    to see it would take a memory of all users.

    `state`: int64 [weight x AUC in 2^-30, weight], over the users whose rows are complete; `merge` and `gauc` count
    the last one too.
    """

    def __init__(self, by: Literal["impressions", "clicks"] = "impressions"):
        self.by = by
        self.state: Integers = np.zeros(2, np.int64)
        self._last: tuple[object, NDArray[np.bool_], NDArray[np.float64]] | None = None

    def update(self, labels: ArrayLike, scores: ArrayLike, users: ArrayLike) -> None:
        """Raises AdLensError where a user's rows of the batch lie apart; nothing of the batch is counted then."""
        clicked, score = checked(labels, scores)
        names, user_N = numbered(users)
        if len(user_N) != len(score):
            raise AdLensError(f"{len(score)} scores and {len(user_N)} users; wanted one of each a row")
        if not len(score):
            return
        starts = np.flatnonzero(np.r_[True, user_N[1:] != user_N[:-1]])
        if len(starts) > len(names):
            twice = names[int(np.flatnonzero(np.bincount(user_N[starts]) > 1)[0])]
            raise AdLensError(f"rows of user {twice} lie apart; GAUC in one pass wants a user's rows together")
        if self._last is not None:
            known, before, its_scores = self._last
            if known == names[user_N[0]]:
                clicked, score = np.r_[before, clicked], np.r_[its_scores, score]
                user_N = np.r_[np.full(len(before), user_N[0]), user_N]
                starts = np.r_[0, starts[1:] + len(before)]
            else:
                self.state = added(self.state, self._closed())
        end = int(starts[-1])
        self.state = added(self.state, self._sums(clicked[:end], score[:end], user_N[:end], len(names)))
        self._last = names[user_N[-1]], clicked[end:], score[end:]

    def merge(self, other: StreamingGauc) -> None:
        if self.by != other.by:
            raise AdLensError(f"GAUC by {self.by} and by {other.by} do not merge")
        self.state = added(self.state, other.state + other._closed())

    def gauc(self) -> float:
        """NaN where no user has both classes."""
        total, weight = self.state + self._closed()
        return float(total) / STEPS / int(weight) if weight else float("nan")

    def _closed(self) -> Integers:
        """The sums of the last user alone."""
        if self._last is None:
            return np.zeros(2, np.int64)
        _, clicked, score = self._last
        return self._sums(clicked, score, np.zeros(len(score), np.int64), 1)

    def _sums(self, clicked: NDArray[np.bool_], score: NDArray[np.float64], user_N: Integers, users: int) -> Integers:
        total, weight = gauc_parts(clicked, score, user_N, users, self.by)
        return np.array([in_steps(total).sum(), weight.sum()], np.int64)
