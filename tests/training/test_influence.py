"""The closed form of paired AUC differences by user: against its definition, the bootstrap and its own promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from training import metrics
from training.metrics.influence import Estimate, auc_influence


def made(users: int = 60, each: int = 8, seed: int = 2) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), each)
    rate = np.clip(np.repeat(random.beta(1, 3, users), each), 0.02, 0.9)
    clicked = random.random(len(user)) < rate
    noisy = [np.round(np.clip(rate + random.normal(0, sd, len(user)), 0.01, 0.99), 2) for sd in (0.1, 0.3)]
    return clicked, *noisy, user


def test_placements_by_hand() -> None:
    clicked = np.array([True, False, True, False, False])
    scores = np.array([0.9, 0.9, 0.2, 0.1, 0.3])
    auc, influence = auc_influence(clicked, scores)
    assert auc == pytest.approx(roc_auc_score(clicked, scores)) == pytest.approx((2.5 + 1) / 6)
    # placements of the clicks: 2.5/3 and 1/3; of the others: 1 - 0.5/2 ... as shares of clicks above them
    np.testing.assert_allclose(influence[[0, 2]], [(2.5 / 3 - auc) / 2, (1 / 3 - auc) / 2])
    np.testing.assert_allclose(influence[[1, 3, 4]], [(0.25 - auc) / 3, (1 - auc) / 3, (0.5 - auc) / 3])


def test_variance_is_obuchowskis() -> None:
    """Her S10/m + S01/n + 2 S11/(mn), term by term, on differences of the two models' placements."""
    clicked, a, b, user = made()
    m, n, names = clicked.sum(), (~clicked).sum(), np.unique(user)

    def placements(s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        psi = (s[clicked][:, None] > s[~clicked]) + 0.5 * (s[clicked][:, None] == s[~clicked])
        return psi.mean(1), psi.mean(0)

    (a10, a01), (b10, b01) = placements(a), placements(b)
    v10, v01, theta = b10 - a10, b01 - a01, (b10 - a10).mean()
    k = len(names)
    x = np.array([(v10[user[clicked] == u] - theta).sum() for u in names])
    y = np.array([(v01[user[~clicked] == u] - theta).sum() for u in names])
    s10, s01, s11 = k / ((k - 1) * m) * (x @ x), k / ((k - 1) * n) * (y @ y), k / (k - 1) * (x @ y)
    found = metrics.auc_difference(clicked, a, b, user)
    assert found.value == pytest.approx(roc_auc_score(clicked, b) - roc_auc_score(clicked, a))
    assert found.error**2 == pytest.approx(s10 / m + s01 / n + 2 * s11 / (m * n))


def test_it_agrees_with_the_bootstrap() -> None:
    clicked, a, b, user = made(users=400)
    paired = metrics.paired_figures(clicked, a, b, user, samples=1000)
    sampled = paired["auc"].samples
    assert metrics.auc_difference(clicked, a, b, user).error == pytest.approx(
        (sampled[:, 1] - sampled[:, 0]).std(), rel=0.1
    )
    worse = paired["log_loss"].samples
    found = metrics.mean(metrics.loss_of_rows(clicked, b) - metrics.loss_of_rows(clicked, a), user)
    assert found.value == pytest.approx(paired["log_loss"].difference)
    assert found.error == pytest.approx((worse[:, 1] - worse[:, 0]).std(), rel=0.1)


def test_swapped_equal_and_one_class() -> None:
    clicked, a, b, user = made()
    one, other = metrics.auc_difference(clicked, a, b, user), metrics.auc_difference(clicked, b, a, user)
    assert (one.value, one.error) == pytest.approx((-other.value, other.error))
    same = metrics.auc_difference(clicked, a, a, user)
    assert (same.value, same.error) == (0, 0)
    assert (same.chance_below(0), same.chance_below(-0.01), same.chance_below(0.01)) == (1, 1, 0)
    nothing = metrics.auc_difference(np.zeros(480, np.bool_), a, b, user)
    assert math.isnan(nothing.value) and math.isnan(nothing.chance_below(0))
    assert math.isnan(metrics.mean(np.empty(0), np.empty(0, np.int64)).chance_above(0))


def test_chances_are_those_of_the_normal_distribution() -> None:
    assert Estimate(-1.959964, 1).chance_below(0) == pytest.approx(0.025, abs=1e-6)
    assert Estimate(1.644854, 1).chance_above(0) == pytest.approx(0.05, abs=1e-6)
    assert Estimate(0.5, 1).chance_below(0) > 0.5


@pytest.mark.parametrize(
    ("chances", "rejected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [True, False, False, True]),  # Holm: 0.005 < .0125, 0.01 < .0167, 0.03 > .025
        ([0.06], [False]),
        ([], []),
        ([math.nan, 0.05], [False, True]),
    ],
)
def test_holm(chances: list[float], rejected: list[bool]) -> None:
    assert metrics.holm(chances, 0.05) == rejected


def test_holm_keeps_the_rate_of_false_alarms() -> None:
    """Thirty slices in which both models are equally good: an alarm in about one of twenty days, not in most."""
    random, alarms, days = np.random.default_rng(8), 0, 200
    for _ in range(days):
        chances = []
        for _ in range(30):
            user = np.repeat(np.arange(60), 4)
            rate = random.beta(2, 6, 240)
            clicked = random.random(240) < rate
            a, b = (rate + random.normal(0, 0.1, 240) for _ in range(2))
            chances.append(metrics.auc_difference(clicked, a, b, user).chance_below(0))
        alarms += any(metrics.holm(chances, 0.05))
    assert alarms / days < 0.11  # 0.05 and four standard errors
