"""The decision rule, in words and in code. Every question without an answer is a no.

Yes if and only if all of this holds on the held-out day:

1. Neither model, nor anything that it was warm-started from, was fitted on the day or on a later one.
2. The day has at least `gate_min_rows` impressions and `gate_min_clicks` clicks, and both classes.
3. Challenger and opponents scored the same impressions, each once, in the same order.
4. Every score is a finite probability, and the challenger's scores differ from each other.
5. The challenger predicts between 0.8 and 1.25 of the clicks that came.
6. Against each opponent: the one-sided 95 % lower bound of AUC(challenger) - AUC(opponent), by the paired bootstrap of
   users, is above the opponent's margin; and the log loss is at most 2 % above the opponent's.

The opponent is the champion, with the margin of the setting `gate_margin` (its default is below zero: a challenger that
is as good as the champion and a day fresher goes in). The first champion has two opponents with margin 0, which it
must really beat: always the mean, and the ads' own click rates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.settings import Settings
from training import metrics

CALIBRATION = (0.8, 1.25)  # predicted clicks over real ones; the second is the inverse of the first
WORST_LOG_LOSS = 1.02  # of the challenger, as a multiple of the opponent's
LEAST_SPREAD = 1e-4  # standard deviation of the challenger's scores; less is a constant
BASELINE_MARGIN = 0.0

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class HeldOut:
    """The day's impressions: N ids, users, labels in {0, 1}."""

    impression_ids: NDArray[np.object_]
    users: NDArray[np.object_]
    labels: Floats


@dataclass(frozen=True)
class Scores:
    """What one model or baseline gave to the impressions named beside it."""

    name: str
    impression_ids: NDArray[np.object_]
    values: Floats


@dataclass(frozen=True)
class Opponent:
    scores: Scores
    margin: float


@dataclass(frozen=True)
class Limits:
    min_rows: int
    min_clicks: int
    samples: int
    seed: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(
            settings.gate_min_rows, settings.gate_min_clicks, settings.bootstrap_samples, settings.seed
        )


@dataclass(frozen=True)
class Verdict:
    """`figures`: by name of a model or baseline. `comparisons`: by name of an opponent. NaN stands for no answer."""

    yes: bool
    reasons: list[str]
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    comparisons: dict[str, dict[str, float]] = field(default_factory=dict)


def judge(day: HeldOut, challenger: Scores, opponents: list[Opponent], limits: Limits) -> Verdict:
    """Rules 2 to 6. Whatever goes wrong in here is a no with its reason; nothing is raised."""
    try:
        return _judge(day, challenger, opponents, limits)
    except Exception as error:  # fails closed: a gate that cannot answer has not said yes
        return Verdict(False, [f"the evaluation failed: {type(error).__name__}: {error}"])


def _judge(day: HeldOut, challenger: Scores, opponents: list[Opponent], limits: Limits) -> Verdict:
    against = [opponent.scores for opponent in opponents]
    reasons = [] if opponents else ["there is nothing to compare the challenger with"]
    reasons += _day_reasons(day, limits)
    for scores in (challenger, *against):
        reasons += _score_reasons(day, scores)
    if reasons:
        return Verdict(False, reasons)
    figures = {scores.name: describe(day, scores) for scores in (challenger, *against)}
    own = figures[challenger.name]
    if not own["deviation"] > LEAST_SPREAD:
        reasons.append(f"the challenger's scores hardly differ (standard deviation {own['deviation']:.1e})")
    low, high = CALIBRATION
    if not low <= own["calibration"] <= high:
        reasons.append(
            f"the challenger predicts {own['calibration']:.2f} times the clicks that came; wanted {low} to {high}"
        )
    comparisons = {}
    for opponent in opponents:
        name = opponent.scores.name
        comparisons[name] = compared = _compare(day, challenger, opponent, limits)
        bound = compared["lower_bound"]
        if not bound > opponent.margin:  # also where the bound is NaN
            reasons.append(
                f"AUC against {name}: difference {compared['difference']:+.4f}, 95 % lower bound {bound:+.4f} "
                f"is not above the margin {opponent.margin:+.4f}"
            )
        if not own["log_loss"] <= WORST_LOG_LOSS * figures[name]["log_loss"]:
            reasons.append(
                f"log loss {own['log_loss']:.4f} is more than 2 % above that of {name} "
                f"({figures[name]['log_loss']:.4f})"
            )
    return Verdict(not reasons, reasons or [_praise(comparisons)], figures, comparisons)


def _praise(comparisons: dict[str, dict[str, float]]) -> str:
    return "; ".join(
        f"AUC against {name}: difference {c['difference']:+.4f}, 95 % lower bound {c['lower_bound']:+.4f} "
        f"is above the margin {c['margin']:+.4f}"
        for name, c in comparisons.items()
    )


def _day_reasons(day: HeldOut, limits: Limits) -> list[str]:
    rows, clicks = len(day.labels), int(np.nansum(day.labels))
    reasons = []
    if rows < limits.min_rows:
        reasons.append(f"the day has {rows} impressions, at least {limits.min_rows} are needed (gate_min_rows)")
    if clicks < limits.min_clicks:
        reasons.append(f"the day has {clicks} clicks, at least {limits.min_clicks} are needed (gate_min_clicks)")
    if not set(np.unique(day.labels)) == {0.0, 1.0}:
        reasons.append("the labels must be of two classes, 0 and 1")
    if len(set(day.impression_ids.tolist())) != rows:
        reasons.append("an impression stands in the day more than once")
    return reasons


def _score_reasons(day: HeldOut, scores: Scores) -> list[str]:
    if len(scores.values) != len(scores.impression_ids) or not np.array_equal(
        scores.impression_ids, day.impression_ids
    ):
        return [f"{scores.name} scored other impressions than the day's ({len(scores.values)} of {len(day.labels)})"]
    values = np.asarray(scores.values, np.float64)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        return [f"{bad} scores of {scores.name} are not finite"]
    if len(values) and not (values.min() > 0 and values.max() < 1):
        return [f"scores of {scores.name} lie outside (0, 1)"]
    return []


def describe(day: HeldOut, scores: Scores) -> dict[str, float]:
    """AUC, GAUC, log loss, calibration, mean and standard deviation of one model's scores."""
    values = np.asarray(scores.values, np.float64)
    return {
        "auc": metrics.auc(day.labels, values),
        "gauc": metrics.gauc(day.labels, values, day.users),
        "log_loss": metrics.log_loss(day.labels, values),
        "calibration": metrics.calibration(day.labels, values),
        "mean": float(values.mean()),
        "deviation": float(values.std()),
    }


def _compare(day: HeldOut, challenger: Scores, opponent: Opponent, limits: Limits) -> dict[str, float]:
    paired = metrics.paired_bootstrap(
        day.labels, opponent.scores.values, challenger.values, day.users, limits.samples, limits.seed
    )
    return {
        "difference": paired.difference,
        "low": paired.low,
        "high": paired.high,
        "lower_bound": paired.one_sided_low,
        "margin": opponent.margin,
        # A true difference smaller than this would have left the bound below zero: the day is too small to show it.
        "smallest_visible": paired.difference - paired.one_sided_low,
    }


def finite_or_none(value: object) -> object:
    """For JSON, which knows no NaN."""
    if isinstance(value, dict):
        return {name: finite_or_none(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
