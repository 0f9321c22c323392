"""Made held-out days with two models' scores whose quality is known, for benchmarks of the gate.

The true logit of an impression is a user's mood, an ad's pull and a taste of the user for its category. Every model
sees it through the same fog (what no model of this system can know) and through noise of its own; its score is the best
guess from what it sees. The fog is chosen so that a day looks like the default one: CTR 0.1, best possible AUC 0.77, a
model's 0.70, and 0.0045 as the smallest difference that 12,000 impressions could have shown (measured there: 0.0044).

Shapes: N impressions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from release.judging.evidence import HeldOut, Scores

Floats = NDArray[np.float64]
CATEGORIES, POSITIONS, PER_USER, PER_AD = 12, 8, 6, 15  # impressions a user and an ad, as in the default data
TASTE, FOG, OWN = 1.15, 1.05, 0.34  # standard deviations of logits: to be known, hidden from all, a model's own
CTR_LOGIT = -2.75


@dataclass(frozen=True)
class Made:
    """`true`: logits less CTR_LOGIT; `seen`: the same through the fog."""

    day: HeldOut
    true: Floats
    seen: Floats


def sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)), np.float64)


def made_day(rows: int, seed: int) -> Made:
    random = np.random.default_rng(seed)
    users, ads = rows // PER_USER, max(rows // PER_AD, CATEGORIES)
    user, ad = random.integers(0, users, rows), (ads * random.random(rows) ** 1.5).astype(np.int64)
    category = ad % CATEGORIES
    true = (
        random.normal(0, 0.5 * TASTE, users)[user]
        + random.normal(0, 0.6 * TASTE, ads)[ad]
        + random.normal(0, 0.62 * TASTE, (users, CATEGORIES))[user, category]
    )
    labels = (random.random(rows) < sigmoid(CTR_LOGIT + true)).astype(np.float64)

    def named(kind: str, values: NDArray[np.integer]) -> NDArray[np.object_]:
        return np.array([f"{kind}{n:02d}" for n in values.tolist()], object)

    slices = {
        "category": named("c", category),
        "position": named("", random.integers(0, POSITIONS, rows)),
        "ads": np.where(random.random(ads)[ad] < 0.05, "cold", "warm").astype(object),
        "users": np.where(random.random(users)[user] < 0.1, "cold", "warm").astype(object),
        "table": np.where(random.random(ads)[ad] < 0.02, "outside the table", "in the table").astype(object),
    }
    ids = np.array([f"i{n}" for n in range(rows)], object)
    return Made(HeldOut(ids, named("u", user), labels, slices), true, true + random.normal(0, FOG, rows))


def scored(name: str, made: Made, seed: int, own: float = OWN) -> Scores:
    """A model's scores; `own`: standard deviation of its own noise. They are calibrated, as far as the day allows."""
    random = np.random.default_rng(seed)
    shrink = TASTE**2 / (TASTE**2 + FOG**2 + own**2)
    guess = CTR_LOGIT + shrink * (made.seen + random.normal(0, own, len(made.true)))
    expected, drift = sigmoid(CTR_LOGIT + made.true).sum(), np.exp(random.normal(0, 0.02))
    for _ in range(8):  # the intercept of a calibrated guess
        guess += np.log(expected / sigmoid(guess).sum())
    return Scores(name, made.day.impression_ids, np.clip(sigmoid(guess) * drift, 1e-6, 1 - 1e-6))
