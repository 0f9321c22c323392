"""The bootstrap by user: against drawing rows one by one, and its coverage of a known truth."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from training import metrics
from training.metrics.bootstrap import drawn


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    scores = random.integers(1, 20, 500) / 20  # many ties
    return (random.random(500) < scores / 2).astype(float), scores, random.integers(0, 40, 500)


def rows_of(times: np.ndarray, users: np.ndarray) -> np.ndarray:
    draws = np.repeat(np.unique(users), times)
    return np.concatenate([np.flatnonzero(users == user) for user in draws])


def test_it_draws_users_and_pairs_the_models(scored: tuple[np.ndarray, ...]) -> None:
    labels, scores, users = scored
    better = (scores + 0.3 * labels) / 1.3
    found = metrics.paired_figures(labels, scores, better, users, samples=200, seed=1)["auc"]
    assert found.difference == pytest.approx(roc_auc_score(labels, better) - roc_auc_score(labels, scores), abs=1e-9)
    low, one_sided, high = found.bounds(2.5, 5, 97.5)
    assert 0 < low < one_sided < found.difference < high
    swapped = metrics.paired_figures(labels, better, scores, users, samples=200, seed=1)["auc"]
    assert swapped.bounds(2.5, 97.5) == pytest.approx([-high, -low])
    same = metrics.paired_figures(labels, scores, scores, users, samples=50)
    assert all(one.difference == 0 and one.bounds(2.5, 97.5) == [0, 0] for one in same.values())


def test_one_sample_is_the_figure_of_the_drawn_rows(scored: tuple[np.ndarray, ...]) -> None:
    labels, scores, users = scored
    for seed in range(5):
        rows = rows_of(next(drawn(len(np.unique(users)), 1, seed)), users)
        paired = metrics.paired_figures(labels, scores, 1 - scores, users, samples=1, seed=seed)
        wanted = roc_auc_score(labels[rows], 1 - scores[rows]) - roc_auc_score(labels[rows], scores[rows])
        assert paired["auc"].bounds(5) == [pytest.approx(wanted, abs=1e-12)]
        found = metrics.bootstrap(labels, scores, users, samples=1, seed=seed)
        assert found["auc"].low == pytest.approx(roc_auc_score(labels[rows], scores[rows]), abs=1e-12)
        assert found["log_loss"].low == pytest.approx(log_loss(labels[rows], scores[rows]), abs=1e-12)
        assert found["calibration"].low == pytest.approx(scores[rows].sum() / labels[rows].sum(), abs=1e-12)


def test_gauc_of_a_sample_counts_a_user_as_often_as_it_was_drawn(scored: tuple[np.ndarray, ...]) -> None:
    labels, scores, users = scored
    times = next(drawn(len(np.unique(users)), 1, 9))
    rows = rows_of(times, users)
    copy = np.concatenate([np.repeat(np.arange(n), (users == u).sum()) for u, n in zip(np.unique(users), times)])  # noqa: B905
    one_by_one = np.array([f"{user} {number}" for user, number in zip(users[rows], copy, strict=True)], object)
    found = metrics.bootstrap(labels, scores, users, samples=1, seed=9)["gauc"]
    assert found.low == pytest.approx(metrics.gauc(labels[rows], scores[rows], one_by_one), abs=1e-12)
    assert found.value == pytest.approx(metrics.gauc(labels, scores, users), abs=1e-12)


def test_draws_are_multinomial_and_seeded() -> None:
    times = np.array(list(drawn(50, 4_000, seed=2)))
    assert (times.sum(1) == 50).all()
    assert times.mean(0) == pytest.approx(1, abs=0.08)  # 5 standard errors
    assert times.var(0) == pytest.approx(1 - 1 / 50, abs=0.13)
    assert (np.array(list(drawn(50, 3, seed=2))) == times[:3]).all()
    assert not (np.array(list(drawn(50, 3, seed=1))) == times[:3]).all()


def test_a_sample_of_one_class_gives_no_bounds() -> None:
    labels, scores, users = np.array([1, 0, 0]), np.array([0.3, 0.2, 0.1]), np.array(["a", "b", "c"], object)
    assert np.isnan(metrics.paired_figures(labels, scores, scores, users, samples=200)["auc"].bounds(5)[0])
    found = metrics.bootstrap(labels, scores, users, samples=200)
    assert found["auc"].value == 1 and np.isnan([found["auc"].low, found["calibration"].high]).all()
    assert np.isfinite(found["log_loss"].high)


@pytest.mark.parametrize("clustered", [True, False])
def test_the_interval_covers_the_truth_as_often_as_it_says(clustered: bool) -> None:
    """150 logs of users with a mood of their own, true calibration known. By row, the interval covers too rarely."""
    random, covered, logs = np.random.default_rng(5), 0, 150
    for _ in range(logs):
        users = np.repeat(np.arange(120), 8)
        rate = np.repeat(random.beta(1, 3, 120), 8)  # mean 1/4; a user's rows share it
        labels = (random.random(len(users)) < rate).astype(float)
        unit = users if clustered else np.arange(len(users))
        found = metrics.bootstrap(labels, np.full(len(users), 0.25), unit, samples=200, seed=1)["calibration"]
        covered += found.low <= 1 <= found.high
    assert (covered / logs > 0.89) is clustered


def test_half_a_million_rows_take_seconds() -> None:
    """100,000 users, two models: 50 samples here; a sample's cost does not change, 1,000 take 20 times as long."""
    random = np.random.default_rng(0)
    logit = random.normal(-2.5, 1, 500_000)
    labels = random.random(500_000) < 1 / (1 + np.exp(-logit))
    users, started = random.integers(0, 100_000, 500_000), time.process_time()
    a, b = (1 / (1 + np.exp(-one)) for one in (logit, logit + random.normal(size=500_000)))
    metrics.paired_figures(labels, a, b, users, samples=50)
    assert time.process_time() - started < 3  # measured: 0.8
