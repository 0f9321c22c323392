"""Exact metrics against scikit-learn, and by hand where it has none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss, roc_auc_score

from contracts.errors import AdLensError
from training import metrics

NAMES = {
    "Decile", "Estimate", "Interval", "Resampled", "Slice", "StreamingAuc", "StreamingDeciles", "StreamingGauc",
    "StreamingLikelihood", "StreamingSlices", "auc", "auc_difference", "bootstrap", "by_decile", "by_slice",
    "calibration", "cold",
    "gauc", "holm", "log_loss", "loss_of_rows", "mean", "paired_figures",
}  # fmt: skip
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def scored() -> Rows:
    random = np.random.default_rng(3)
    scores = random.integers(1, 20, 500) / 20  # many ties
    return (random.random(500) < scores / 2).astype(float), scores, random.integers(0, 40, 500)


def test_public_names_are_these() -> None:
    assert set(metrics.__all__) == NAMES


def test_auc_with_ties_is_sklearns(scored: Rows) -> None:
    labels, scores, users = scored
    assert metrics.auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    for weights in (users % 3, np.random.default_rng(0).random(500)):
        wanted = roc_auc_score(labels, scores, sample_weight=weights)
        assert metrics.auc(labels, scores, weights) == pytest.approx(wanted, abs=1e-12)


@examples(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([-3.5, -0.0, 0.0, 1e-30, 1.0, 1e30]), st.integers(0, 3))))
def test_auc_is_the_count_over_all_pairs(rows: list[tuple[bool, float, int]]) -> None:
    labels, scores, weights = (np.array([row[at] for row in rows], float) for at in range(3))
    pairs = [(i, j) for i in np.flatnonzero(labels) for j in np.flatnonzero(labels == 0)]
    right = sum(weights[i] * weights[j] * ((scores[i] > scores[j]) + (scores[i] == scores[j]) / 2) for i, j in pairs)
    total = sum(weights[i] * weights[j] for i, j in pairs)
    wanted = right / total if total else np.nan
    assert metrics.auc(labels, scores, weights) == pytest.approx(wanted, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("labels", "scores", "wanted"),
    [
        ([0, 1], [0.1, 0.9], 1.0), ([1, 0], [0.1, 0.9], 0.0), ([0, 1], [0.5, 0.5], 0.5),
        ([1, 1], [0.1, 0.2], np.nan), ([0, 0], [0.1, 0.2], np.nan), ([], [], np.nan),
    ],
)  # fmt: skip
def test_auc_by_hand(labels: list[float], scores: list[float], wanted: float) -> None:
    assert metrics.auc(np.array(labels), np.array(scores)) == pytest.approx(wanted, nan_ok=True)


def test_gauc_weighs_users_by_impressions_and_leaves_one_class_users_out() -> None:
    users = np.array(["a", "a", "a", "a", "b", "b", "c", "c"], object)
    labels = np.array([1, 0, 0, 1, 1, 0, 1, 1.0])
    scores = np.array([0.9, 0.1, 0.2, 0.8, 0.1, 0.9, 0.5, 0.6])
    assert metrics.gauc(labels, scores, users) == pytest.approx((1.0 * 4 + 0.0 * 2) / 6)
    assert metrics.gauc(labels, scores, users, by="clicks") == pytest.approx((1.0 * 2 + 0.0 * 1) / 3)
    assert np.isnan(metrics.gauc(labels[6:], scores[6:], users[6:]))


def test_gauc_is_sklearns_auc_user_by_user(scored: Rows) -> None:
    labels, scores, users = scored
    total = weight = 0.0
    for user in set(users):
        own = users == user
        if 0 < labels[own].mean() < 1:
            total, weight = total + own.sum() * roc_auc_score(labels[own], scores[own]), weight + own.sum()
    assert metrics.gauc(labels, scores, users) == pytest.approx(total / weight, abs=1e-12)
    shuffled = np.random.default_rng(1).permutation(len(labels))
    assert metrics.gauc(labels[shuffled], scores[shuffled], users[shuffled]) == pytest.approx(total / weight, abs=1e-12)


def test_log_loss_is_sklearns_and_calibration_is_a_ratio(scored: Rows) -> None:
    labels, scores, _ = scored
    assert metrics.log_loss(labels, scores) == pytest.approx(log_loss(labels, scores), abs=1e-12)
    assert metrics.log_loss([1, 0], [0.0, 1.0]) == pytest.approx(15 * np.log(10), rel=1e-3)
    assert metrics.calibration(np.array([1, 0, 0, 0]), np.full(4, 0.5)) == 2.0
    assert np.isnan(metrics.calibration([0], [0.5])) and np.isnan(metrics.log_loss([], []))


@pytest.mark.parametrize(
    ("labels", "scores", "said"),
    [
        ([1, 0, 0], [0.1, np.nan, np.inf], "2 of 3 scores are NaN or infinite"),
        ([1, 0.5, np.nan], [0.1, 0.2, 0.3], "2 of 3 labels are neither 0 nor 1"),
        ([1, 0], [0.1, 0.2, 0.3], "shape"),
    ],
)
def test_wrong_rows_are_an_error_that_counts_them(labels: list[float], scores: list[float], said: str) -> None:
    for metric in (metrics.auc, metrics.log_loss, metrics.calibration, metrics.by_decile):
        with pytest.raises(AdLensError, match=said):
            metric(labels, scores)


def test_likelihood_refuses_logits_and_auc_takes_them() -> None:
    for metric in (metrics.log_loss, metrics.calibration, metrics.by_decile):
        with pytest.raises(AdLensError, match="2 of 3 scores lie outside"):
            metric([1, 0, 0], [1.5, -2.0, 0.3])
    assert metrics.auc([1, 0, 0], [1.5, -2.0, 0.3]) == 1


def test_deciles_are_sklearns_quantile_bins_where_no_scores_are_equal() -> None:
    random = np.random.default_rng(7)
    scores = random.beta(1, 8, 3_000)
    labels = (random.random(3_000) < scores * 1.3).astype(float)
    table = metrics.by_decile(labels, scores)
    rate, mean = calibration_curve(labels, scores, n_bins=10, strategy="quantile")
    assert [row.rows for row in table] == [300] * 10
    np.testing.assert_allclose([row.clicks / row.rows for row in table], rate, atol=1e-12)
    np.testing.assert_allclose([row.predicted / row.rows for row in table], mean, atol=1e-12)
    np.testing.assert_allclose([row.ratio for row in table], mean / rate, atol=1e-9)
    assert all(row.low <= row.high < after.low for row, after in zip(table, table[1:], strict=False))


def test_equal_scores_are_never_parted_among_deciles() -> None:
    scores = np.array([0.1] * 3 + [0.2] * 6 + [0.9])
    labels = np.array([0, 0, 0, 0, 1, 0, 0, 0, 0, 1])
    wanted = [(0.1, 3, 0), (0.2, 6, 1), (0.9, 1, 1)]
    for order in (np.arange(10), np.arange(10)[::-1]):
        table = metrics.by_decile(labels[order], scores[order])
        assert [(row.low, row.rows, row.clicks) for row in table] == wanted
    assert np.isnan(table[0].ratio) and table[1].ratio == pytest.approx(1.2)
    assert [row.rows for row in metrics.by_decile([0, 1, 0], [0.5] * 3)] == [3]
    assert metrics.by_decile([], []) == []


def test_slices_are_the_figures_of_their_own_rows(scored: Rows) -> None:
    labels, scores, users = scored
    category = np.array([None if user == 7 else f"k{user % 4}" for user in users], object)
    found = metrics.by_slice(labels, scores, category)
    assert [part.name for part in found] == ["k0", "k1", "k2", "k3", None]
    for part in found:
        own = np.array([name == part.name for name in category])
        assert (part.rows, part.clicks) == (own.sum(), labels[own].sum())
        assert part.auc == pytest.approx(roc_auc_score(labels[own], scores[own]), abs=1e-12)
        assert part.log_loss == pytest.approx(log_loss(labels[own], scores[own], labels=[0, 1]), abs=1e-12)
        assert part.calibration == pytest.approx(scores[own].sum() / labels[own].sum())


def test_a_slice_of_one_class_has_no_auc() -> None:
    clicked, none = metrics.by_slice([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4], [True, True, False, False])[::-1]
    assert (clicked.name, none.name) == (True, False)
    assert np.isnan(clicked.auc) and np.isnan(none.auc) and np.isnan(none.calibration)
    assert clicked.calibration == pytest.approx(0.15)


def test_a_cold_ad_was_shown_less_often_than_the_bound() -> None:
    ads, shown = np.array(["new", "old", "rare", "old"], object), {"old": 90, "rare": 4, "gone": 7}
    assert metrics.cold(ads, shown).tolist() == [True, False, False, False]
    assert metrics.cold(ads, shown, below=5).tolist() == [True, False, True, False]
    assert metrics.cold(ads, shown, below=4).tolist() == [True, False, False, False]
