"""What the decision rule asks of a pair of models: differences with bounds, by the paired bootstrap of users."""

from __future__ import annotations

import math

import numpy as np

from release.judging.evidence import HeldOut, Opponent, Scores
from training import metrics


def compare(day: HeldOut, challenger: Scores, opponent: Opponent, samples: int, seed: int) -> dict[str, float]:
    """Figures of the pair with bounds, all of the same samples of users; challenger minus opponent."""
    paired = metrics.paired_figures(
        day.labels, opponent.scores.values, challenger.values, day.users, samples, seed
    )
    auc, gauc, loss, calibration = (paired[name] for name in ("auc", "gauc", "log_loss", "calibration"))
    low, lower_bound, high = auc.bounds(2.5, 5, 97.5)
    gauc_low, gauc_lower, gauc_high = gauc.bounds(2.5, 5, 97.5)
    off_R = np.abs(np.log(calibration.samples))
    return {
        "difference": auc.difference,
        "low": low,
        "high": high,
        "lower_bound": lower_bound,
        "margin": opponent.margin,
        # A true difference smaller than this would have left the bound below zero: the day is too small to show it.
        "smallest_visible": auc.difference - lower_bound,
        "gauc_difference": gauc.difference,
        "gauc_low": gauc_low,
        "gauc_high": gauc_high,
        "gauc_lower": gauc_lower,
        "log_loss_ratio": loss.b / loss.a,
        "log_loss_upper": float(np.percentile(loss.samples[:, 1] / loss.samples[:, 0], 95)),
        "miscalibration": abs(math.log(calibration.b)) - abs(math.log(calibration.a)),
        "miscalibration_upper": float(np.percentile(off_R[:, 1] - off_R[:, 0], 95)),
    }
