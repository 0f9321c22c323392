"""Accumulators by slice, by tenth and by user: the in-memory figures, whatever the split into batches and ranks."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from contracts.errors import AdLensError
from training import metrics
from training.metrics import StreamingDeciles, StreamingGauc, StreamingSlices

BY: tuple[Literal["impressions", "clicks"], ...] = ("impressions", "clicks")
Log = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def log() -> Log:
    """20,000 rows: labels, probabilities, and one of 40 owners, sorted by owner."""
    random = np.random.default_rng(3)
    scores = random.beta(1, 9, 20_000)
    owners = np.sort(random.integers(0, 40, 20_000)).astype(str).astype(object)
    return (random.random(20_000) < scores).astype(int), scores, owners


def test_slices_are_those_of_the_whole(log: Log) -> None:
    labels, scores, owners = log
    known = [str(n) for n in range(30)]
    whole, ranks = StreamingSlices(known, 20), [StreamingSlices(known, 20) for _ in range(3)]
    whole.update(labels, scores, owners)
    order = np.random.default_rng(4).permutation(len(labels))
    for at, rank in enumerate(ranks):
        for rows in np.array_split(order[at::3], 5):
            rank.update(labels[rows], scores[rows], owners[rows])
    ranks[0].merge(ranks[1])
    ranks[0].merge(ranks[2])
    assert (whole.state == ranks[0].state).all() and (whole.counts == ranks[0].counts).all()
    named = np.array([one if one in known else None for one in owners], object)
    exact = {one.name: one for one in metrics.by_slice(labels, scores, named)}
    found = ranks[0].slices()
    assert [one.name for one in found] == [*known, None] and found[-1].rows == sum(int(n) >= 30 for n in owners)
    for one in found:
        own = exact[one.name]
        assert (one.rows, one.clicks) == (own.rows, own.clicks)
        assert abs(one.auc - own.auc) <= ranks[0].bound(one.name) + 1e-12 and ranks[0].bound(one.name) < 1e-3
        assert (one.log_loss, one.calibration) == pytest.approx((own.log_loss, own.calibration), rel=1e-6)


def test_sure_scores_are_ranked_and_an_empty_slice_is_not_told() -> None:
    slices = StreamingSlices(["toys", "books"])
    slices.update([1, 0, 1], [1.0, 0.0, 0.5], ["toys", "toys", "toys"])
    assert [(one.name, one.auc) for one in slices.slices()] == [("toys", 1.0)]


def test_slices_refuse_what_does_not_fit() -> None:
    slices = StreamingSlices(["toys"])
    with pytest.raises(AdLensError, match="2 scores and 1 slices"):
        slices.update([1, 0], [0.5, 0.5], ["toys"])
    with pytest.raises(AdLensError, match="outside"):
        slices.update([1], [2.0], ["toys"])
    assert not slices.state.any() and not slices.counts.any()
    with pytest.raises(AdLensError, match="same slices"):
        slices.merge(StreamingSlices(["books"]))


def test_deciles_are_those_of_scores_cut_to_the_grid(log: Log) -> None:
    labels, scores, _ = log
    cut = ((scores.astype(np.float32).view(np.uint32) >> 16) << 16).view(np.float32).astype(np.float64)
    parts = [StreamingDeciles(), StreamingDeciles()]
    for rows in np.array_split(np.random.default_rng(5).permutation(len(labels)), 6):
        parts[int(rows[0]) % 2].update(labels[rows], scores[rows])
    parts[0].merge(parts[1])
    found, exact = parts[0].deciles(), metrics.by_decile(labels, cut)
    assert [(one.rows, one.clicks) for one in found] == [(one.rows, one.clicks) for one in exact]
    assert sum(one.predicted for one in found) == pytest.approx(scores.sum(), rel=1e-8)
    for one, own in zip(found, exact, strict=True):
        assert (one.low, one.high) == pytest.approx((own.low, own.high), rel=1 / 64)
    assert StreamingDeciles().deciles() == []
    with pytest.raises(AdLensError, match="16 and 12"):
        parts[0].merge(StreamingDeciles(12))


@examples(deadline=None, max_examples=100)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.1, 0.2, 0.3])), min_size=1, max_size=9)),
    st.data(),
)
def test_gauc_is_that_of_the_whole(users: list[list[tuple[int, float]]], data: st.DataObject) -> None:
    rows = [(label, score, f"u{at}") for at, each in enumerate(users) for label, score in each]
    labels, scores, names = (np.array([row[n] for row in rows], kind) for n, kind in enumerate((int, float, object)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    border = sum(map(len, users[: data.draw(st.integers(0, len(users)))]))  # a user's rows go to one rank
    for by in BY:
        ranks = [StreamingGauc(by), StreamingGauc(by)]
        edges = sorted({0, *cuts, border, len(rows)})
        for start, end in zip(edges, edges[1:], strict=False):
            ranks[start >= border].update(labels[start:end], scores[start:end], names[start:end])
        ranks[0].merge(ranks[1])
        exact = metrics.gauc(labels, scores, names, by) if rows else float("nan")
        assert ranks[0].gauc() == pytest.approx(exact, abs=1e-8, nan_ok=True)


def test_gauc_wants_a_users_rows_together() -> None:
    streamed = StreamingGauc()
    streamed.update([1, 0], [0.9, 0.1], ["ann", "ann"])
    with pytest.raises(AdLensError, match="user ann lie apart"):
        streamed.update([1, 0, 1], [0.5, 0.5, 0.5], ["ann", "bob", "ann"])
    assert streamed.gauc() == 1
    with pytest.raises(AdLensError, match="do not merge"):
        streamed.merge(StreamingGauc("clicks"))
