"""How often the gate errs: wrong no to an equal challenger, wrong yes to one that is worse by a stated amount.

    python -m benchmarks.gate_errors --rows 12000 --days 150 --samples 500
    python -m benchmarks.gate_errors --rows 500000 --days 10 --samples 200
    python -m benchmarks.gate_errors --rows 500000 --days 25 --samples 200 --margin -0.002 \\
        --kinds equal "AUC 0.005 lower"

Each simulated day goes through `release.judging.rule.judge` with the default settings (rules 3 to 10; the service's
figures are given). The worse challengers: noise of its own that costs a stated AUC in expectation (measured on 500,000
rows against the true probabilities), one of twelve categories ranked at random, and logits 1.4 times too far apart.
Intervals are Clopper and Pearson's.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.stats import beta

from benchmarks.made_scores import CTR_LOGIT, OWN, Floats, Made, made_day, scored, sigmoid
from contracts.settings import Settings
from release.judging.evidence import Opponent, Scores, Service
from release.judging.rule import Limits, judge
from training import metrics

SERVICE = Service(coverage=0.98, bundle_bytes=1e6, latency_ms=3.0)
WORSE = (0.005, 0.01, 0.02)  # of AUC
CALIBRATION_ROWS = 500_000


def expected_auc(made: Made, own: float) -> float:
    """Of all pairs, weighted by the true probabilities: without the noise of the clicks."""
    scores, p = scored("any", made, 1, own).values, sigmoid(CTR_LOGIT + made.true)
    order = np.argsort(scores)
    below = np.cumsum(1 - p[order])
    return float((p[order] * below).sum() / (p.sum() * (1 - p).sum()))


def own_noise_for(drop: float) -> float:
    """The standard deviation of own noise that costs `drop` of AUC."""
    made = made_day(CALIBRATION_ROWS, 99)
    wanted, low, high = expected_auc(made, OWN) - drop, OWN, 3.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if expected_auc(made, middle) > wanted else (low, middle)
    return (low + high) / 2


def rotten_category(made: Made, seed: int) -> Scores:
    whole = scored("challenger", made, seed)
    rows = np.flatnonzero(made.day.slices["category"] == "c03")
    values = whole.values.copy()
    values[rows] = np.random.default_rng(seed).permutation(values[rows])
    return replace(whole, values=values)


def too_sure(made: Made, seed: int) -> Scores:
    whole = scored("challenger", made, seed)
    logit = np.log(whole.values / (1 - whole.values))
    guess: Floats = 1.4 * (logit - logit.mean()) + logit.mean()
    for _ in range(8):
        guess += np.log(whole.values.sum() / sigmoid(guess).sum())
    return replace(whole, values=sigmoid(guess))


def challengers() -> dict[str, tuple[bool, Callable[[Made, int], Scores]]]:
    """By name: (whether a yes is right, what makes its scores)."""

    def noisy(own: float) -> Callable[[Made, int], Scores]:
        return lambda made, seed: scored("challenger", made, seed, own)

    found: dict[str, tuple[bool, Callable[[Made, int], Scores]]] = {"equal": (True, noisy(OWN))}
    for drop in WORSE:
        found[f"AUC {drop} lower"] = (False, noisy(own_noise_for(drop)))
    return found | {"one category at random": (False, rotten_category), "too sure": (False, too_sure)}


def interval(hits: int, of: int) -> tuple[float, float]:
    low = float(beta.ppf(0.025, hits, of - hits + 1)) if hits else 0.0
    return low, float(beta.ppf(0.975, hits + 1, of - hits)) if hits < of else 1.0


def rule_of(reason: str) -> str:
    """The first words of a reason, enough to tell which rule spoke."""
    return " ".join(reason.split()[:2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--days", type=int, default=300)
    parser.add_argument("--samples", type=int, default=1000, help="of the bootstrap")
    parser.add_argument("--margin", type=float, default=Settings().gate_margin)
    parser.add_argument("--kinds", nargs="+", metavar="NAME", help="some of the challengers")
    asked = parser.parse_args()
    settings = Settings(gate_margin=asked.margin)
    limits, started = replace(Limits.of(settings), samples=asked.samples), time.monotonic()
    kinds = {name: kind for name, kind in challengers().items() if not asked.kinds or name in asked.kinds}
    answers: dict[str, Counter[str]] = {name: Counter() for name in kinds}
    rules: dict[str, Counter[str]] = {name: Counter() for name in kinds}
    differences: dict[str, list[float]] = {name: [] for name in kinds}
    for day in range(asked.days):
        made = made_day(asked.rows, 1000 + day)
        champion = Opponent(scored("champion", made, 2000 + day), settings.gate_margin)
        for name, (_, make) in kinds.items():
            challenger = make(made, 3000 + day)
            verdict = judge(made.day, challenger, [champion], SERVICE, limits)
            answers[name][verdict.answer] += 1
            differences[name].append(
                metrics.auc(made.day.labels, challenger.values)
                - metrics.auc(made.day.labels, champion.scores.values)
            )
            if not verdict.yes:
                rules[name].update({rule_of(reason) for reason in verdict.reasons})
    print(f"{asked.days} days of {asked.rows:,} impressions, {asked.samples} samples; margin {settings.gate_margin}")
    for name, (right, _) in kinds.items():
        wrong = answers[name]["no"] + answers[name]["wait"] if right else answers[name]["yes"]
        low, high = interval(wrong, asked.days)
        print(
            f"{name:24} AUC difference {np.mean(differences[name]):+.4f} (sd {np.std(differences[name]):.4f})  wrong "
            f"{'no ' if right else 'yes'} {wrong}/{asked.days} = {wrong / asked.days:.3f} [{low:.3f}, {high:.3f}]  "
            f"who said no: {dict(rules[name].most_common(4))}"
        )
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
