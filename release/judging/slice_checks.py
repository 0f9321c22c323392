"""The challenger against the champion, slice by slice of the held-out day.

Two questions a slice: has its AUC fallen by more than a margin, and has its log loss risen by more than a share? With
fifty slices some look bad by chance, so what counts is Holm's correction over all questions of the day: of equally good
models one day in twenty is refused by this rule. Standard errors are by user (training/metrics/influence.py). A slice
with few clicks is shown and not asked: nothing could be learnt from it. One that is asked and has no answer, for its
impressions are of a single user, is a no.

Shapes: N impressions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from release.judging.evidence import HeldOut, Scores
from training import metrics
from training.metrics.rows import numbered

LEVEL = 0.05  # of all questions of a day together
LEAST_EACH = 25  # clicks, and impressions without one: fewer are too few for a normal distribution
TOLD = 3  # slices named in the reasons
NOTHING = float("nan")
UNANSWERED = "unanswered"
WORST_LOG_LOSS = 1.05  # of the challenger in a slice, as a multiple of the champion's


@dataclass(frozen=True)
class SliceFigures:
    """One slice. The champion's figures, `difference`, `error` (of the AUC) and the chances are NaN without a champion.

    `chance_auc`, `chance_loss`: p-values of `no harm`. `verdict`: worse, fine, unanswered, or too small to be asked.
    """

    dimension: str
    slice: str
    rows: int
    clicks: int
    auc: float
    log_loss: float
    calibration: float
    verdict: str = "fine"
    champion_auc: float = NOTHING
    champion_log_loss: float = NOTHING
    champion_calibration: float = NOTHING
    difference: float = NOTHING
    error: float = NOTHING
    chance_auc: float = NOTHING
    chance_loss: float = NOTHING


def of_all(day: HeldOut, challenger: Scores, champion: Scores | None, margin: float) -> list[SliceFigures]:
    """Every slice of every dimension, in order. `margin`: how far a slice's AUC may fall, above or equal 0."""
    clicked, users = day.labels == 1, numbered(day.users)[1]
    own = np.asarray(challenger.values, np.float64)
    other = None if champion is None else np.asarray(champion.values, np.float64)
    found = []
    for dimension, labels in day.slices.items():
        names, slice_of = numbered(labels)
        order = np.argsort(slice_of, kind="stable")
        ends = np.cumsum(np.bincount(slice_of, minlength=len(names)))
        for name, rows in zip(names, np.split(order, ends[:-1]), strict=True):
            text = "unknown" if name is None else str(name)
            taken = None if other is None else other[rows]
            found.append(_one(dimension, text, clicked[rows], own[rows], taken, users[rows], margin))
    return _corrected(found)


def _one(
    dimension: str, name: str, clicked: NDArray[np.bool_], own: NDArray[np.float64],
    other: NDArray[np.float64] | None, users: NDArray[np.int64], margin: float,
) -> SliceFigures:  # fmt: skip
    clicks, rows = int(clicked.sum()), len(clicked)
    mine = _figures(clicked, own)
    if other is None:
        return SliceFigures(dimension, name, rows, clicks, *mine)
    ranked = metrics.auc_difference(clicked, other, own, users)
    loss, others = metrics.loss_of_rows(clicked, own), metrics.loss_of_rows(clicked, other)
    asked = min(clicks, rows - clicks) >= LEAST_EACH
    chances = (
        ranked.chance_below(-margin) if asked else NOTHING,
        metrics.mean(loss - WORST_LOG_LOSS * others, users).chance_above(0) if asked else NOTHING,
    )
    verdict = "too small" if not asked else UNANSWERED if any(map(math.isnan, chances)) else "fine"
    theirs = _figures(clicked, other)
    return SliceFigures(
        dimension, name, rows, clicks, *mine, verdict, *theirs, ranked.value, ranked.error, *chances
    )


def _figures(clicked: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[float, float, float]:
    return (
        metrics.auc(clicked, scores),
        metrics.log_loss(clicked, scores),
        metrics.calibration(clicked, scores),
    )


def _corrected(found: list[SliceFigures]) -> list[SliceFigures]:
    chances = [chance for one in found for chance in (one.chance_auc, one.chance_loss)]
    rejected = metrics.holm(chances, LEVEL)
    worse = [rejected[2 * at] or rejected[2 * at + 1] for at in range(len(found))]
    return [
        SliceFigures(**{**vars(one), "verdict": "worse"}) if bad else one
        for one, bad in zip(found, worse, strict=True)
    ]


def reasons(found: list[SliceFigures], margin: float) -> list[str]:
    """The slices that are surely worse, the surest first, and those without an answer; a few of many
    (`evaluation_slices` has all)."""
    asked = sum(not math.isnan(chance) for one in found for chance in (one.chance_auc, one.chance_loss))
    worse = sorted(
        (one for one in found if one.verdict == "worse"), key=lambda one: min(one.chance_auc, one.chance_loss)
    )
    more = [f"{len(worse) - TOLD} more slices are worse, too"] if len(worse) > TOLD else []
    silent = [one for one in found if one.verdict == UNANSWERED]
    more += [
        f"{one.dimension} {one.slice} is large enough to be asked and gives no answer: its {one.rows} impressions are "
        "of too few users to have a standard error"
        for one in silent[:TOLD]
    ]
    more += [f"{len(silent) - TOLD} more slices give no answer, too"] if len(silent) > TOLD else []
    return [
        f"{one.dimension} {one.slice} is worse: AUC {one.auc:.4f} against the champion's {one.champion_auc:.4f} (may "
        f"fall by {margin}), log loss {one.log_loss:.4f} against {one.champion_log_loss:.4f} (may rise by "
        f"{WORST_LOG_LOSS - 1:.0%}); p {min(one.chance_auc, one.chance_loss):.1e} of {asked} questions asked"
        for one in worse[:TOLD]
    ] + more
