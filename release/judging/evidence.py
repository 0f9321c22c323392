"""What the decision rule is shown: the held-out day, scores, and what the challenger costs to serve.

Shapes: N impressions of the held-out day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Labels = NDArray[np.object_]  # a text a row; None where it cannot be told

DIMENSIONS = ("category", "position", "ads", "users", "table")


@dataclass(frozen=True)
class HeldOut:
    """The day's impressions: ids, users, labels in {0, 1} [N]; `slices`: by dimension, each row's slice [N]."""

    impression_ids: Labels
    users: Labels
    labels: Floats
    slices: Mapping[str, Labels] = field(default_factory=dict)


@dataclass(frozen=True)
class Scores:
    """What one model or baseline gave to the impressions named beside it."""

    name: str
    impression_ids: Labels
    values: Floats


@dataclass(frozen=True)
class Opponent:
    """`guards`: it is a champion, which must not be beaten in AUC alone; a baseline has no slices to protect."""

    scores: Scores
    margin: float
    guards: bool = True


@dataclass(frozen=True)
class Service:
    """What serving the challenger takes. NaN where it could not be measured, which is a no.

    `coverage`: share of the day's impressions whose ad is in its table. `bundle_bytes`: of the folder that was scored.
    `latency_ms`: milliseconds for a thousand ads in this process, best of several tries: the model's cost, and not what
    else the machine did.
    """

    coverage: float
    bundle_bytes: float
    latency_ms: float
