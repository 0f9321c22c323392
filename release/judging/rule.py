"""The decision rule, in words and in code. Every question without an answer is a no.

Yes if and only if all of this holds on the held-out day:

1. Lineage. Neither model, nor anything that it was warm-started from, was fitted on the day or on a later one; weights,
   rows, bins, vocabularies and reduction alike (release/judging/ancestry.py).
2. Freshness. The features that are scored are those of the snapshot before the day (release/judging/freshness.py).
3. The day has at least `gate_min_rows` impressions, `gate_min_clicks` clicks and `gate_min_users` users (of fewer the
   bootstrap has hardly any width, and every bound is the figure itself), both classes, and every slice's label.
4. Challenger and opponents scored the same impressions, each once, in the same order; every score is a probability.
5. The challenger's scores are distributed like predictions: they differ, no value stands for more than half of the day,
   at most 1 % lie within 1e-5 of 0 or 1.
6. The challenger predicts between 0.8 and 1.25 of the clicks that came.
7. Against each opponent, by the paired bootstrap of users: the one-sided 95 % lower bound of AUC(challenger) -
   AUC(opponent) is above the opponent's margin, and the upper bound of log loss is at most 2 % above the opponent's.
8. Against a champion besides, by the same samples: the lower bound of the GAUC difference is above `gate_gauc_margin`,
   and the challenger's |ln calibration| is at most 0.15 above the champion's, upper bound.
9. In no slice (category, position, cold and warm ads and users, ads in the table or not) has the AUC surely fallen by
   more than `gate_slice_margin`, or the log loss surely risen by more than 5 % (Holm; release/judging/slice_checks.py);
   and each slice that is large enough to be asked has an answer.
10. Service. `gate_min_coverage` of the impressions had their ad in the table; the bundle takes at most
    `gate_max_bundle_mb`; a thousand ads are scored within `gate_max_latency_ms`.

Who passes all of it and is too good to be true gets `wait` instead of `yes`: an AUC above 0.95, or a gain over the
champion that is surely above `gate_suspicious_gain`. Nothing is published until a person has looked.

The opponent is the champion, with the margin of the setting `gate_margin` (its default is below zero: a challenger that
is as good as the champion and a day fresher goes in). The first champion has two opponents with margin 0, which it
must really beat: always the mean, and the ads' own click rates.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Final, Literal

import numpy as np

from contracts.settings import Settings
from release.judging import slice_checks
from release.judging.comparison import compare
from release.judging.evidence import DIMENSIONS, HeldOut, Opponent, Scores, Service
from release.judging.slice_checks import SliceFigures
from training import metrics

CALIBRATION = (0.8, 1.25)  # predicted clicks over real ones; the second is the inverse of the first
WORST_LOG_LOSS = 1.02  # of the challenger, as a multiple of the opponent's
WORST_CALIBRATION = 0.15  # of |ln calibration| above the champion's
LEAST_SPREAD = 1e-4  # standard deviation of the challenger's scores; less is a constant
MOST_EQUAL = 0.5  # share of the commonest score
EDGE, MOST_AT_EDGE = 1e-5, 0.01  # a click rate so near 0 or 1 is no prediction
TOO_GOOD_AUC = 0.95  # no click log is that predictable; a leaked label is
BASELINE_MARGIN = 0.0
Answer = Literal["yes", "no", "wait"]
YES: Final = "yes"
NO: Final = "no"
WAIT: Final = "wait"


@dataclass(frozen=True)
class Limits:
    min_rows: int
    min_clicks: int
    min_users: int
    gauc_margin: float
    slice_margin: float
    suspicious_gain: float
    min_coverage: float
    max_bundle_mb: float
    max_latency_ms: float
    samples: int
    seed: int

    @classmethod
    def of(cls, s: Settings) -> Limits:
        return cls(
            s.gate_min_rows, s.gate_min_clicks, s.gate_min_users, s.gate_gauc_margin, s.gate_slice_margin,
            s.gate_suspicious_gain, s.gate_min_coverage, s.gate_max_bundle_mb, s.gate_max_latency_ms,
            s.bootstrap_samples, s.seed,
        )  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """`figures`: by name of a model or baseline. `comparisons`: by name of an opponent. NaN stands for no answer.

    `passing`: all that is against the challenger may be gone the next time, though nothing that is judged has changed:
    a busy machine, a file that could not be read.
    """

    answer: Answer
    reasons: list[str]
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    comparisons: dict[str, dict[str, float]] = field(default_factory=dict)
    slices: list[SliceFigures] = field(default_factory=list)
    service: dict[str, float] = field(default_factory=dict)
    passing: bool = False

    @property
    def yes(self) -> bool:
        return self.answer == YES

    @property
    def lasting(self) -> bool:
        """Whether the same question need not be asked again: something was measured, and the cause will not pass."""
        return bool(self.figures) and not self.passing

    def refused(self, objections: list[str], passing: bool = False) -> Verdict:
        """The same with objections from outside this file before its own reasons; unchanged where there are none.
        `passing`: the objections may be gone the next time."""
        if not objections:
            return self
        more = [] if self.yes else self.reasons
        return replace(
            self, answer=NO, reasons=objections + more, passing=passing and (self.passing or self.answer != NO)
        )


def judge(day: HeldOut, challenger: Scores, opponents: list[Opponent], service: Service, limits: Limits) -> Verdict:
    """Rules 3 to 10. Whatever goes wrong in here is a no with its reason; nothing is raised."""
    try:
        return _judge(day, challenger, opponents, service, limits)
    except Exception as error:  # fails closed: a gate that cannot answer has not said yes
        return Verdict(NO, [f"the evaluation failed: {type(error).__name__}: {error}"], passing=True)


def _judge(day: HeldOut, challenger: Scores, opponents: list[Opponent], service: Service, limits: Limits) -> Verdict:
    against = [opponent.scores for opponent in opponents]
    reasons = [] if opponents else ["there is nothing to compare the challenger with"]
    reasons += _day_reasons(day, limits)
    for scores in (challenger, *against):
        reasons += _score_reasons(day, scores)
    if reasons:
        return Verdict(NO, reasons)
    figures = {scores.name: describe(day, scores) for scores in (challenger, *against)}
    reasons += _distribution_reasons(challenger, figures[challenger.name])
    comparisons, waits = {}, []
    for opponent in opponents:
        compared = compare(day, challenger, opponent, limits.samples, limits.seed)
        comparisons[opponent.scores.name] = compared
        reasons += _comparison_reasons(opponent, compared, limits)
        waits += _suspicions(opponent, compared, limits)
    if figures[challenger.name]["auc"] > TOO_GOOD_AUC:
        waits.append(f"an AUC of {figures[challenger.name]['auc']:.4f} is above {TOO_GOOD_AUC}")
    champion = next((opponent.scores for opponent in opponents if opponent.guards), None)
    slices = slice_checks.of_all(day, challenger, champion, limits.slice_margin)
    busy = _latency_reasons(service, limits)
    reasons += slice_checks.reasons(slices, limits.slice_margin) + _service_reasons(service, limits) + busy
    passing = bool(busy) and reasons == busy
    answer: Answer = YES
    if reasons:
        answer, reasons = NO, reasons + waits
    elif waits:
        answer = WAIT
        reasons = [
            f"too good to be true: {'; '.join(waits)}. Look for a label in a feature before anything else; if the gain "
            "is real, publish it by hand: adlens promote VERSION --force --reason WHY"
        ]
    return Verdict(answer, reasons or [_praise(comparisons)], figures, comparisons, slices, asdict(service), passing)


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
    users = len(set(day.users.tolist()))
    if users < limits.min_users:
        reasons.append(f"the day has {users} users, at least {limits.min_users} are needed (gate_min_users)")
    if not set(np.unique(day.labels)) == {0.0, 1.0}:
        reasons.append("the labels must be of two classes, 0 and 1")
    if len(set(day.impression_ids.tolist())) != rows:
        reasons.append("an impression stands in the day more than once")
    reasons += [
        f"the day's rows are not told apart by {name}: {len(day.slices.get(name, ()))} of {rows} have a slice"
        for name in DIMENSIONS
        if len(day.slices.get(name, ())) != rows
    ]
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


def _distribution_reasons(challenger: Scores, own: dict[str, float]) -> list[str]:
    values = np.asarray(challenger.values, np.float64)
    reasons = []
    if not own["deviation"] > LEAST_SPREAD:
        reasons.append(f"the challenger's scores hardly differ (standard deviation {own['deviation']:.1e})")
    commonest = float(np.unique(values, return_counts=True)[1].max() / len(values))
    if not commonest <= MOST_EQUAL:
        reasons.append(f"{commonest:.0%} of the impressions have one and the same score; at most {MOST_EQUAL:.0%} may")
    at_edge = float(((values < EDGE) | (values > 1 - EDGE)).mean())
    if not at_edge <= MOST_AT_EDGE:
        reasons.append(f"{at_edge:.1%} of the scores lie within {EDGE} of 0 or 1; at most {MOST_AT_EDGE:.0%}")
    low, high = CALIBRATION
    if not low <= own["calibration"] <= high:
        reasons.append(
            f"the challenger predicts {own['calibration']:.2f} times the clicks that came; wanted {low} to {high}"
        )
    return reasons


def _comparison_reasons(opponent: Opponent, c: dict[str, float], limits: Limits) -> list[str]:
    """Rules 7 and 8; written so that a NaN fails."""
    name, reasons = opponent.scores.name, []
    if not c["lower_bound"] > opponent.margin:
        reasons.append(
            f"AUC against {name}: difference {c['difference']:+.4f}, 95 % lower bound {c['lower_bound']:+.4f} "
            f"is not above the margin {opponent.margin:+.4f}"
        )
    if not c["log_loss_upper"] <= WORST_LOG_LOSS:
        reasons.append(
            f"log loss is {c['log_loss_ratio']:.4f} times that of {name}, 95 % upper bound {c['log_loss_upper']:.4f}; "
            f"at most {WORST_LOG_LOSS} (more than 2 % above it)"
        )
    if opponent.guards and not c["gauc_lower"] > limits.gauc_margin:
        reasons.append(
            f"GAUC against {name}: difference {c['gauc_difference']:+.4f}, 95 % lower bound {c['gauc_lower']:+.4f} is "
            f"not above {limits.gauc_margin:+.4f} (gate_gauc_margin)"
        )
    if opponent.guards and not c["miscalibration_upper"] <= WORST_CALIBRATION:
        reasons.append(
            f"calibration is worse than that of {name}: |ln| {c['miscalibration']:+.3f} above it, 95 % upper bound "
            f"{c['miscalibration_upper']:+.3f}; at most {WORST_CALIBRATION:+.2f}"
        )
    return reasons


def _suspicions(opponent: Opponent, c: dict[str, float], limits: Limits) -> list[str]:
    if not opponent.guards or not c["lower_bound"] > limits.suspicious_gain:
        return []
    return [
        f"the gain over {opponent.scores.name} is surely above {c['lower_bound']:.4f}, and {limits.suspicious_gain} is "
        "already suspicious (gate_suspicious_gain)"
    ]


def _service_reasons(service: Service, limits: Limits) -> list[str]:
    megabytes, reasons = service.bundle_bytes / 2**20, []
    if not service.coverage >= limits.min_coverage:
        reasons.append(
            f"only {service.coverage:.1%} of the impressions had their ad in the table; at least "
            f"{limits.min_coverage:.1%} (gate_min_coverage)"
        )
    if not megabytes <= limits.max_bundle_mb:
        reasons.append(f"the bundle takes {megabytes:.1f} MiB; at most {limits.max_bundle_mb} (gate_max_bundle_mb)")
    return reasons


def _latency_reasons(service: Service, limits: Limits) -> list[str]:
    if service.latency_ms <= limits.max_latency_ms:
        return []
    return [f"a thousand ads take {service.latency_ms:.1f} ms; at most {limits.max_latency_ms} (gate_max_latency_ms)"]


def describe(day: HeldOut, scores: Scores) -> dict[str, float]:
    """AUC, GAUC (by impressions: DIN's and DICM's), log loss, calibration, mean and standard deviation of scores."""
    values = np.asarray(scores.values, np.float64)
    return {
        "auc": metrics.auc(day.labels, values),
        "gauc": metrics.gauc(day.labels, values, day.users),
        "log_loss": metrics.log_loss(day.labels, values),
        "calibration": metrics.calibration(day.labels, values),
        "mean": float(values.mean()),
        "deviation": float(values.std()),
    }
