"""The decision rule alone: each way to a no, with everything else right; the ways to a yes; the way to a wait."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from release.judging.evidence import DIMENSIONS, HeldOut, Opponent, Scores, Service
from release.judging.rule import Limits, Verdict, judge

LIMITS = Limits(
    min_rows=500, min_clicks=30, min_users=30, gauc_margin=-0.03, slice_margin=0.02, suspicious_gain=0.2,
    min_coverage=0.8, max_bundle_mb=10, max_latency_ms=50, samples=200, seed=3,
)  # fmt: skip
SERVICE = Service(coverage=0.95, bundle_bytes=1e6, latency_ms=4.0)


def made(rows: int = 4000):
    """(day, good scores, poor scores): the good ones are the truth, the poor ones a mix with its mean."""
    random = np.random.default_rng(11)
    p = random.choice([0.03, 0.1, 0.4], rows) * random.uniform(0.9, 1.1, rows)
    labels = (random.random(rows) < p).astype(np.float64)
    ids = np.array([f"i{n}" for n in range(rows)], object)
    users = np.array([f"u{n % 200}" for n in range(rows)], object)
    poor = np.where(random.random(rows) < 0.3, p.mean() * random.uniform(0.9, 1.1, rows), p)
    slices = {name: np.array([f"{name} {n % 3}" for n in range(rows)], object) for name in DIMENSIONS}
    return HeldOut(ids, users, labels, slices), Scores("good", ids, p), Scores("poor", ids, poor)


def say(day, challenger, champion, margin=-0.01, service=SERVICE, **limits) -> Verdict:
    return judge(day, challenger, [Opponent(champion, margin)], service, replace(LIMITS, **limits))


def only(verdict: Verdict, words: str) -> None:
    """This rule alone said no."""
    assert verdict.answer == "no" and len(verdict.reasons) == 1, verdict.reasons
    assert words in verdict.reasons[0]


def scored(name: str, like: Scores, values) -> Scores:
    return Scores(name, like.impression_ids, values)


def changed(values, at, value):
    values = values.copy()
    values[at] = value
    return values


def logit(p):
    return np.log(p / (1 - p))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_better_yes_and_swapped_no():
    day, good, poor = made()
    verdict = say(day, good, poor)
    assert verdict.yes and verdict.comparisons["poor"]["smallest_visible"] > 0
    swapped = say(day, poor, good)
    assert not swapped.yes and "not above the margin" in swapped.reasons[0]


def test_equal_passes_a_negative_margin_and_no_other():
    day, good, _ = made()
    twin = scored("twin", good, good.values.copy())
    assert say(day, good, twin).yes
    only(say(day, good, twin, margin=0.0), "not above the margin")
    assert say(day, good, twin).comparisons["twin"]["difference"] == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1, 0.0, 1.0])
@pytest.mark.parametrize("whose", ["challenger", "champion"])
def test_one_bad_score_is_a_no(bad, whose):
    day, good, poor = made()
    if whose == "challenger":
        good = scored("good", good, changed(good.values, 7, bad))
    else:
        poor = scored("poor", poor, changed(poor.values, 7, bad))
    assert say(day, good, poor).answer == "no"


def test_missing_and_different_rows_are_a_no():
    day, good, poor = made()
    fewer = Scores("good", good.impression_ids[:-1], good.values[:-1])
    other = Scores("good", changed(good.impression_ids, 3, "stranger"), good.values)
    torn = Scores("good", good.impression_ids, good.values[:-1])
    turned = Scores("good", good.impression_ids[::-1], good.values)
    for scores in (fewer, other, torn, turned):
        only(say(day, scores, poor), "other impressions")
    only(say(day, good, Scores("poor", poor.impression_ids[:-1], poor.values[:-1])), "other impressions")
    only(judge(day, good, [], SERVICE, LIMITS), "nothing to compare")
    nothing: Any = None
    only(judge(day, nothing, [Opponent(poor, 0.0)], SERVICE, LIMITS), "evaluation failed")


@pytest.mark.parametrize("label", [0.0, 1.0, np.nan, 2.0])
def test_labels_of_another_kind_are_a_no(label):
    day, good, poor = made()
    labels = np.full_like(day.labels, label) if label in (0, 1) else changed(day.labels, 0, label)
    verdict = say(replace(day, labels=labels), good, poor)
    assert verdict.answer == "no" and any("two classes" in reason for reason in verdict.reasons)


def test_the_day_itself():
    day, good, poor = made()
    only(say(day, good, poor, min_rows=4001), "gate_min_rows")
    only(say(day, good, poor, min_clicks=5000), "gate_min_clicks")
    only(say(day, good, poor, min_users=201), "gate_min_users")
    assert say(day, good, poor, min_users=200).yes
    ids = changed(day.impression_ids, 1, "i0")
    twice = say(replace(day, impression_ids=ids), replace(good, impression_ids=ids), replace(poor, impression_ids=ids))
    only(twice, "more than once")
    for name in DIMENSIONS:
        lacking = {other: labels for other, labels in day.slices.items() if other != name}
        only(say(replace(day, slices=lacking), good, poor), f"not told apart by {name}")


def test_distribution():
    day, good, poor = made()
    flat = scored("flat", good, np.full(len(good.values), day.labels.mean()))
    assert any("hardly differ" in reason for reason in say(day, flat, flat).reasons)
    assert any("one and the same score" in reason for reason in say(day, flat, flat).reasons)
    low = good.values < np.quantile(good.values, 0.55)
    merged = scored("merged", good, np.where(low, good.values[low].mean(), good.values))
    only(say(day, merged, merged), "one and the same score")
    few = np.flatnonzero((good.values < 0.05) & (day.labels == 0))[: len(good.values) // 50]
    edge = scored("edge", good, changed(good.values, few, np.linspace(1e-7, 9e-6, len(few))))
    only(say(day, edge, edge), "of 0 or 1")


def test_calibration_by_itself_and_against_the_champion():
    day, good, _ = made()
    scale = day.labels.sum() / good.values.sum()
    for times, found in ((0.75, "0.75"), (1.3, "1.30")):
        off = scored("off", good, good.values * scale * times)
        only(say(day, off, off), f"predicts {found} times the clicks")
    exact = scored("exact", good, good.values * scale)
    worse = scored("worse", good, good.values * scale * 1.2)  # inside the absolute bounds
    verdict = say(day, worse, exact)
    assert any("calibration is worse than that of exact" in reason for reason in verdict.reasons)
    assert not any("times the clicks" in reason for reason in verdict.reasons)
    assert say(day, exact, worse).yes


def test_log_loss_of_one_that_is_too_sure():
    """Ordered alike and calibrated in sum: AUC, GAUC and calibration see nothing."""
    day, good, _ = made()
    sure = sigmoid(2.2 * logit(good.values))
    sure = np.clip(sure * day.labels.sum() / sure.sum(), 1e-4, 0.999)
    verdict = say(day, scored("sure", good, sure), good, slice_margin=1.0)
    assert "more than 2 %" in verdict.reasons[0]
    assert all("log loss" in reason for reason in verdict.reasons[:4]) and "more slices" in verdict.reasons[4]
    assert len(verdict.reasons) == 5  # the whole day's, the three surest slices, and how many more


def test_gauc_of_one_that_orders_users_and_not_ads():
    """Each user's scores are turned round his mean, by a hair: nothing but the order within a user changes."""
    random = np.random.default_rng(4)
    users = np.repeat(np.arange(400), 10)
    base, tilt = np.repeat(random.normal(-1, 1.5, 400), 10), random.choice([-1, 1], 4000)
    labels = (random.random(4000) < sigmoid(base + 0.6 * tilt)).astype(float)
    day = replace(
        made()[0], users=users.astype(str).astype(object), labels=labels,
        slices={name: np.full(4000, "all", object) for name in DIMENSIONS},
    )  # fmt: skip
    good, turned = (Scores(f"{sign}", day.impression_ids, sigmoid(base + sign * 1e-4 * tilt)) for sign in (1, -1))
    only(say(day, turned, good), "GAUC against 1")
    assert say(day, good, turned).yes


def test_one_slice_that_the_whole_does_not_show():
    """In a fortieth of the day the model has lost its way; the whole day's figures hardly fall."""
    day, good, _ = made(20_000)
    rotten = np.arange(20_000) % 40 == 7
    category = np.where(rotten, "rotten", "sound").astype(object)
    turned = np.where(rotten, good.values[rotten].mean() * np.linspace(0.99, 1.01, 20_000), good.values)
    day = replace(day, slices={**day.slices, "category": category})
    verdict = say(day, scored("turned", good, turned), good, margin=-0.05)
    worse = [one.slice for one in verdict.slices if one.verdict == "worse"]
    assert worse == ["rotten"]
    only(verdict, "category rotten is worse")
    assert say(day, good, scored("turned", good, turned), suspicious_gain=0.9).yes


def test_one_user_is_no_day():
    """Resampled he is always himself: every bound is the figure, and an equal model would pass any margin below 0."""
    day, good, _ = made()
    alone = replace(day, users=np.full(4000, "u0", object))
    verdict = say(alone, good, scored("twin", good, good.values.copy()))
    assert verdict.answer == "no" and any("1 users, at least 30" in reason for reason in verdict.reasons)


def test_a_slice_that_is_asked_and_has_no_answer_is_a_no():
    day, good, poor = made()
    users = day.users.copy()
    users[:600] = "u0"
    labels = np.where(np.arange(4000) < 600, "his own", "the others").astype(object)
    day = replace(day, users=users, slices={**day.slices, "category": labels})
    verdict = say(day, good, poor)
    only(verdict, "category his own is large enough to be asked and gives no answer")
    assert {one.slice: one.verdict for one in verdict.slices if one.dimension == "category"} == {
        "his own": "unanswered", "the others": "fine",
    }  # fmt: skip


def test_a_slice_too_small_to_be_asked_is_shown_and_says_nothing():
    day, good, _ = made()
    clicks = np.flatnonzero(day.labels == 1)[:20]
    labels = changed(np.full(4000, "most", object), clicks, "few")
    day = replace(day, slices={**day.slices, "users": labels})
    bad = scored("bad", good, changed(good.values, clicks, 0.02))
    few = next(one for one in say(day, bad, good).slices if one.slice == "few")
    assert (few.rows, few.clicks, few.verdict) == (20, 20, "too small") and np.isnan(few.chance_auc)


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (replace(SERVICE, coverage=0.79), "gate_min_coverage"),
        (replace(SERVICE, bundle_bytes=11 * 2**20), "gate_max_bundle_mb"),
        (replace(SERVICE, latency_ms=51.0), "gate_max_latency_ms"),
        (replace(SERVICE, coverage=np.nan), "gate_min_coverage"),
        (replace(SERVICE, bundle_bytes=np.nan), "gate_max_bundle_mb"),
        (replace(SERVICE, latency_ms=np.nan), "gate_max_latency_ms"),
    ],
)
def test_service(service, words):
    day, good, poor = made()
    only(say(day, good, poor, service=service), words)


def test_too_good_waits_for_a_person():
    day, good, poor = made()
    verdict = say(day, good, poor, suspicious_gain=0.001)
    assert verdict.answer == "wait" and not verdict.yes
    assert "gate_suspicious_gain" in verdict.reasons[0] and "adlens promote" in verdict.reasons[0]
    leaked = np.clip(good.values * 0.02 + 0.95 * day.labels, 0.001, 0.999)
    leaked = np.clip(leaked * day.labels.sum() / leaked.sum(), 1e-4, 0.99)
    first = judge(day, scored("leaked", good, leaked), [Opponent(poor, 0.0, guards=False)], SERVICE, LIMITS)
    assert first.answer == "wait" and "above 0.95" in first.reasons[0]  # no champion is needed to see it
    also_slow = say(day, good, poor, suspicious_gain=0.001, service=replace(SERVICE, latency_ms=99.0))
    assert also_slow.answer == "no"  # a no is never softened


def test_objections_from_outside_turn_any_answer_into_a_no():
    day, good, poor = made()
    verdict = say(day, good, poor)
    assert verdict.refused([]) is verdict
    refused = verdict.refused(["its lineage"])
    assert refused.answer == "no" and refused.reasons == ["its lineage"]
    assert len(say(day, poor, good).refused(["its lineage"]).reasons) >= 2
