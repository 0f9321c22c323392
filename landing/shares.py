"""The planted truth: what share of the click logit's variance each cause has. Frozen; see docs/adr/0002.

These numbers were written before any model was trained and are never tuned: a benchmark whose data follow its results
shows nothing. A test compares them with the decision record and with generated data.
"""

from __future__ import annotations

import numpy as np

LOGIT_VARIANCE = 1.44  # standard deviation 1.2
CTR = 0.10  # share of impressions with a click that counts (inside the attribution window)
OUTSIDE_WINDOW = 0.005  # share of clicks that come too late to count

LOOKS: dict[str, float] = {"colour": 0.13, "texture": 0.07, "clutter": 0.06, "layout": 0.05, "shape": 0.04}
SHARES: dict[str, float] = {
    **LOOKS,
    "brand": 0.10,
    "age_brand": 0.06,
    "price_sensitivity": 0.08,
    "gender_category": 0.08,
    "user_category": 0.09,
    "user": 0.03,
    "position": 0.08,
    "query_match": 0.06,
    "hour": 0.03,
    "weekday": 0.01,
    "ad": 0.03,
}


def scale(cause: str) -> float:
    """Standard deviation of a cause in the logit; its term is this times a score of mean 0 and variance 1."""
    return float(np.sqrt(SHARES[cause] * LOGIT_VARIANCE))


def bias() -> float:
    """The constant b with E[sigmoid(b + s Z)] (1 - OUTSIDE_WINDOW) = CTR for a normal Z; the same for every seed.

    Gauss-Hermite quadrature and bisection; the sum of sixteen independent terms is close enough to normal.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    weights = weights / weights.sum()
    low, high = -10.0, 10.0
    for _ in range(80):
        middle = (low + high) / 2
        rate = float(weights @ (1 / (1 + np.exp(-(middle + np.sqrt(LOGIT_VARIANCE) * nodes)))))
        low, high = (middle, high) if rate * (1 - OUTSIDE_WINDOW) < CTR else (low, middle)
    return round((low + high) / 2, 9)
