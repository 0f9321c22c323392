"""The decision rule alone: each way to a no, and the two ways to a yes."""

from __future__ import annotations

import numpy as np
import pytest

from release.rule import HeldOut, Limits, Opponent, Scores, judge

LIMITS = Limits(min_rows=500, min_clicks=30, samples=200, seed=3)


def made(rows: int = 4000):
    """(day, good scores, poor scores): the good ones are the truth, the poor ones a mix with its mean."""
    random = np.random.default_rng(11)
    p = random.choice([0.03, 0.1, 0.4], rows)
    labels = (random.random(rows) < p).astype(np.float64)
    ids = np.array([f"i{n}" for n in range(rows)], object)
    users = np.array([f"u{n % 200}" for n in range(rows)], object)
    poor = np.where(random.random(rows) < 0.7, p.mean(), p)
    return HeldOut(ids, users, labels), Scores("good", ids, p), Scores("poor", ids, poor)


def say(day, challenger, champion, margin=-0.01):
    return judge(day, challenger, [Opponent(champion, margin)], LIMITS)


def test_better_yes_and_swapped_no():
    day, good, poor = made()
    assert say(day, good, poor).yes
    swapped = say(day, poor, good)
    assert not swapped.yes and "not above the margin" in swapped.reasons[0]


def test_equal_passes_a_negative_margin_and_no_other():
    day, good, _ = made()
    twin = Scores("twin", good.impression_ids, good.values.copy())
    assert say(day, good, twin).yes
    assert not say(day, good, twin, margin=0.0).yes
    assert say(day, good, twin).comparisons["twin"]["difference"] == 0


def changed(values, at, value):
    values = values.copy()
    values[at] = value
    return values


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1, 0.0, 1.0])
@pytest.mark.parametrize("whose", ["challenger", "champion"])
def test_one_bad_score_is_a_no(bad, whose):
    day, good, poor = made()
    if whose == "challenger":
        good = Scores("good", good.impression_ids, changed(good.values, 7, bad))
    else:
        poor = Scores("poor", poor.impression_ids, changed(poor.values, 7, bad))
    assert not say(day, good, poor).yes


def test_missing_and_different_rows_are_a_no():
    day, good, poor = made()
    fewer = Scores("good", good.impression_ids[:-1], good.values[:-1])
    other = Scores("good", changed(good.impression_ids, 3, "stranger"), good.values)
    torn = Scores("good", good.impression_ids, good.values[:-1])
    turned = Scores("good", good.impression_ids[::-1], good.values)
    for scores in (fewer, other, torn, turned):
        assert "other impressions" in say(day, scores, poor).reasons[0]
    assert not say(day, good, Scores("poor", poor.impression_ids[:-1], poor.values[:-1])).yes
    assert not judge(day, good, [], LIMITS).yes
    assert not judge(day, None, [Opponent(poor, 0.0)], LIMITS).yes  # type: ignore[arg-type]


@pytest.mark.parametrize("label", [0.0, 1.0, np.nan, 2.0])
def test_labels_of_another_kind_are_a_no(label):
    day, good, poor = made()
    labels = np.full_like(day.labels, label) if label in (0, 1) else changed(day.labels, 0, label)
    assert not say(HeldOut(day.impression_ids, day.users, labels), good, poor).yes


def test_guards():
    day, good, poor = made(400)
    assert any("gate_min_rows" in reason for reason in say(day, good, poor).reasons)
    day, good, poor = made()
    loud = Scores("good", good.impression_ids, np.minimum(good.values * 2, 0.99))
    assert any("times the clicks" in reason for reason in say(day, loud, poor).reasons)
    flat = Scores("flat", good.impression_ids, np.full(len(good.values), day.labels.mean()))
    assert any("hardly differ" in reason for reason in say(day, flat, flat).reasons)
    sharp = 1 / (1 + np.exp(-4 * np.log(good.values / (1 - good.values))))
    sharp = sharp * day.labels.sum() / sharp.sum()  # ordered and calibrated in sum, and far too sure
    reasons = say(day, Scores("sure", good.impression_ids, np.clip(sharp, 1e-9, 0.999)), good).reasons
    assert any("log loss" in reason for reason in reasons)
    twice = HeldOut(changed(day.impression_ids, 1, "i0"), day.users, day.labels)
    assert not say(twice, good, poor).yes
