"""A decision as three pictures: ROC, calibration by tenths of the scores, differences by slice.

Nothing where matplotlib is not installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from release.judging.evidence import HeldOut, Scores
from release.judging.slice_checks import SliceFigures
from training import metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROC, CALIBRATION, SLICES = "roc.png", "calibration.png", "slices.png"
POINTS = 500  # of a ROC curve
SHOWN = 40  # slices, those with the most impressions


def draw(day: HeldOut, scored: list[Scores], slices: list[SliceFigures], folder: Path) -> None:
    """Writes the pictures into a folder. `scored`: the challenger first; all on the day's rows."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    for name, axes_of in ((ROC, _roc), (CALIBRATION, _calibration)):
        whole = Figure(figsize=(5.5, 5), layout="constrained")
        axes = whole.subplots()
        for scores in scored:
            axes_of(axes, day, scores)
        axes.legend(fontsize=8)
        whole.savefig(folder / name, dpi=120)
    compared = sorted((one for one in slices if np.isfinite(one.error)), key=lambda one: -one.rows)[:SHOWN]
    if compared:
        whole = Figure(figsize=(7, 0.24 * len(compared) + 1.4), layout="constrained")
        _differences(whole.subplots(), sorted(compared, key=lambda one: (one.dimension, one.slice)))
        whole.savefig(folder / SLICES, dpi=120)


def _roc(axes: Axes, day: HeldOut, scores: Scores) -> None:
    order = np.argsort(-np.asarray(scores.values))
    clicked, falling = day.labels[order] == 1, np.asarray(scores.values)[order]
    hits, alarms = (np.append(0, np.cumsum(kind)) / kind.sum() for kind in (clicked, ~clicked))
    thresholds = np.flatnonzero(np.diff(falling, prepend=np.nan, append=np.nan))  # equal scores are one step
    at = thresholds[np.unique(np.linspace(0, len(thresholds) - 1, POINTS).astype(int))]
    axes.plot(alarms[at], hits[at], label=f"{scores.name} {metrics.auc(day.labels, scores.values):.4f}")
    axes.set_xlabel("share of impressions without a click above the threshold")
    axes.set_ylabel("share of clicks above it")


def _calibration(axes: Axes, day: HeldOut, scores: Scores) -> None:
    tenths = metrics.by_decile(day.labels, scores.values)
    axes.plot([t.predicted / t.rows for t in tenths], [t.clicks / t.rows for t in tenths], "o-", label=scores.name)
    axes.axline((0, 0), slope=1, color="grey", linewidth=0.8)
    axes.set_xlabel("predicted click rate, tenths of the impressions")
    axes.set_ylabel("click rate")


def _differences(axes: Axes, slices: list[SliceFigures]) -> None:
    for at, one in enumerate(slices):
        colour = {"worse": "C3", "fine": "C0"}.get(one.verdict, "grey")
        axes.errorbar([one.difference], [at], xerr=[1.96 * one.error], fmt="o", color=colour, markersize=4)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(slices)), [f"{s.dimension} {s.slice} ({s.rows:,})" for s in slices], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("AUC, challenger less champion; 95 % by user, not corrected; grey: too few clicks", fontsize=7)
