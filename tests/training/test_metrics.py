"""Metrics against scikit-learn, and by hand where it has none."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from training import metrics


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    scores = random.integers(1, 20, 500) / 20  # many ties
    return (random.random(500) < scores / 2).astype(float), scores, random.integers(0, 40, 500)


def test_auc_with_ties_is_sklearns(scored: tuple[np.ndarray, ...]) -> None:
    labels, scores, users = scored
    assert metrics.auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    weights = users % 3
    assert metrics.auc(labels, scores, weights) == pytest.approx(
        roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12
    )


@pytest.mark.parametrize(
    ("labels", "scores", "wanted"),
    [([0, 1], [0.1, 0.9], 1.0), ([1, 0], [0.1, 0.9], 0.0), ([0, 1], [0.5, 0.5], 0.5), ([1, 1], [0.1, 0.2], np.nan)],
)
def test_auc_by_hand(labels: list[float], scores: list[float], wanted: float) -> None:
    assert metrics.auc(np.array(labels), np.array(scores)) == pytest.approx(wanted, nan_ok=True)


def test_gauc_weighs_users_by_impressions_and_leaves_one_class_users_out() -> None:
    users = np.array(["a", "a", "a", "b", "b", "c", "c"])
    labels, scores = np.array([1, 0, 0, 1, 0, 1, 1.0]), np.array([0.9, 0.1, 0.2, 0.1, 0.9, 0.5, 0.6])
    assert metrics.gauc(labels, scores, users) == pytest.approx((1.0 * 3 + 0.0 * 2) / 5)
    assert np.isnan(metrics.gauc(labels[5:], scores[5:], users[5:]))


def test_log_loss_is_sklearns_and_calibration_is_a_ratio(scored: tuple[np.ndarray, ...]) -> None:
    labels, scores, _ = scored
    assert metrics.log_loss(labels, scores) == pytest.approx(log_loss(labels, scores), abs=1e-12)
    assert metrics.calibration(np.array([1, 0, 0, 0]), np.full(4, 0.5)) == 2.0


def test_bootstrap_draws_users_and_pairs_the_models(scored: tuple[np.ndarray, ...]) -> None:
    labels, scores, users = scored
    better = scores + 0.3 * labels
    found = metrics.paired_bootstrap(labels, scores, better, users, samples=200, seed=1)
    assert found.difference == pytest.approx(roc_auc_score(labels, better) - roc_auc_score(labels, scores), abs=1e-9)
    assert 0 < found.low < found.one_sided_low < found.difference < found.high
    swapped = metrics.paired_bootstrap(labels, better, scores, users, samples=200, seed=1)
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))
    same = metrics.paired_bootstrap(labels, scores, scores, users, samples=50)
    assert (same.difference, same.low, same.high) == (0, 0, 0)


def test_one_bootstrap_sample_is_the_auc_of_the_drawn_rows(scored: tuple[np.ndarray, ...]) -> None:
    """Against drawing the users' rows one by one, without weights."""
    labels, scores, users = scored
    random = np.random.default_rng(5)
    distinct = np.unique(users)
    drawn = random.multinomial(len(distinct), np.full(len(distinct), 1 / len(distinct)), 1)[0]
    draws = np.repeat(distinct, drawn)
    rows = np.concatenate([np.flatnonzero(users == user) for user in draws])
    wanted = roc_auc_score(labels[rows], 1 - scores[rows]) - roc_auc_score(labels[rows], scores[rows])
    found = metrics.paired_bootstrap(labels, scores, 1 - scores, users, samples=1, seed=5)
    assert found.low == pytest.approx(wanted, abs=1e-12)
