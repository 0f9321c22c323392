"""Accumulators: any split merges to the same bits, errors within their bounds, wrong scores refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from contracts.errors import AdLensError
from training import metrics
from training.metrics import StreamingAuc, StreamingLikelihood
from training.metrics.streaming import cell

# Ties, neighbours of the grid's edges, both zeros, what float32 cannot hold.
HARD = [0.0, -0.0, 1.0, 1 + 1e-9, 1 + 1e-3, 1 - 1e-9, -1.0, -1 - 1e-9, 3e-45, 1e-300, 1e30, 1e300, -1e300, 2.0**-126]
LOGITS = st.one_of(st.sampled_from(HARD), st.floats(-20, 20))
LOG = st.lists(st.tuples(st.booleans(), LOGITS), max_size=60)
MADE: list[Callable[[], Any]] = [lambda: StreamingAuc(16), lambda: StreamingAuc(9)]


def columns(log: list[tuple[bool, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([row[0] for row in log], float), np.array([row[1] for row in log], float)


@examples(deadline=None, max_examples=60)
@given(LOG, st.data())
def test_any_split_in_any_order_merges_to_the_whole(log: list[tuple[bool, float]], data: st.DataObject) -> None:
    labels, logits = columns(log)
    probabilities = 1 / (1 + np.exp(-np.clip(logits, -700, 700)))
    part = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(log), max_size=len(log))), int)
    for make in MADE:
        whole, ranks = make(), [make() for _ in range(4)]
        whole.update(labels, logits)
        for at, rank in enumerate(ranks):
            for rows in np.array_split(np.flatnonzero(part == at)[::-1], 2):
                rank.update(labels[rows], logits[rows])
        for rank in ranks[:0:-1]:
            ranks[0].merge(rank)
        assert (whole.auc() == ranks[0].auc()) or (np.isnan(whole.auc()) and np.isnan(ranks[0].auc()))
        assert (whole.counts == ranks[0].counts).all() and whole.counts.sum() == len(log)
    sums, parts = StreamingLikelihood(), [StreamingLikelihood() for _ in range(4)]
    sums.update(labels, probabilities)
    for at, rank in enumerate(parts):
        rank.update(labels[part == at], probabilities[part == at])
        if at:
            parts[0].merge(rank)
    assert (sums.state == parts[0].state).all()


@examples(deadline=None, max_examples=200)
@given(LOG, st.sampled_from([9, 12, 16]))
def test_auc_is_within_its_bound(log: list[tuple[bool, float]], bits: int) -> None:
    labels, logits = columns(log)
    streamed, exact = StreamingAuc(bits), metrics.auc(labels, logits)
    streamed.update(labels, logits)
    if np.isnan(exact):
        assert np.isnan([streamed.auc(), streamed.bound()]).all()
    else:
        assert abs(streamed.auc() - exact) <= streamed.bound() + 1e-12


def test_the_bound_is_reached_where_a_bucket_holds_all_in_one_order() -> None:
    streamed = StreamingAuc()
    streamed.update([0, 0, 1], [1.0, 1.0, 1.0 + 1e-4])
    assert (streamed.auc(), streamed.bound()) == (0.5, 0.5)
    finer = StreamingAuc(24)
    finer.update([0, 0, 1], [1.0, 1.0, 1.0 + 1e-4])
    assert (finer.auc(), finer.bound()) == (1.0, 0.0)


def test_all_equal_is_a_half_and_the_grid_ascends() -> None:
    streamed = StreamingAuc()
    streamed.update([0, 1, 1], [0.0, -0.0, 0.0])
    assert streamed.auc() == 0.5
    ascending = np.r_[-(2.0 ** np.arange(100, -100, -7)), 0, 2.0 ** np.arange(-100, 100, 7)]
    assert (np.diff(cell(ascending, 20)) > 0).all()


def test_a_log_of_logits_is_within_a_ten_thousandth() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(-2.5, 1, 50_000).astype(np.float32)
    labels = random.random(50_000) < 1 / (1 + np.exp(-logits))
    streamed = StreamingAuc()
    for rows in np.array_split(np.arange(50_000), 90):
        streamed.update(labels[rows], logits[rows])
    exact = roc_auc_score(labels, logits)
    assert streamed.bound() < 1e-4 and abs(streamed.auc() - exact) < 1e-5


@pytest.mark.parametrize("make", MADE)
def test_scores_that_are_no_numbers_are_counted_and_nothing_is_taken(make: Callable[[], Any]) -> None:
    streamed = make()
    streamed.update([0, 1], [0.1, 0.2])
    with pytest.raises(AdLensError, match="3 of 4 scores are NaN or infinite"):
        streamed.update([0, 1, 0, 1], [np.nan, np.inf, -np.inf, 0.5])
    assert streamed.auc() == 1 and streamed.counts.sum() == 2


def test_grids_of_other_sizes_do_not_merge() -> None:
    with pytest.raises(AdLensError, match="9 and 12"):
        StreamingAuc(9).merge(StreamingAuc(12))
    for bits in (8, 25):
        with pytest.raises(AdLensError, match="from 9 to 24"):
            StreamingAuc(bits)


def test_likelihood_is_the_exact_one_within_its_rounding() -> None:
    random = np.random.default_rng(1)
    scores = random.beta(1, 9, 10_000)
    labels, sums = random.random(10_000) < scores, StreamingLikelihood()
    for rows in np.array_split(random.permutation(10_000), 7):
        sums.update(labels[rows], scores[rows])
    assert sums.log_loss() == pytest.approx(metrics.log_loss(labels, scores), abs=5e-10)
    assert sums.calibration() == pytest.approx(metrics.calibration(labels, scores), rel=1e-8)
    with pytest.raises(AdLensError, match="1 of 2 scores lie outside"):
        sums.update([0, 1], [1.5, 0.5])
    empty = StreamingLikelihood()
    assert np.isnan([empty.log_loss(), empty.calibration()]).all()


def test_likelihood_says_when_its_sums_are_full() -> None:
    full, more = StreamingLikelihood(), StreamingLikelihood()
    full.state[3] = more.state[3] = 2**62
    with pytest.raises(AdLensError, match="64 bits"):
        full.merge(more)
    assert full.state[3] == 2**62
