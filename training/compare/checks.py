"""What a comparison refuses before it trains for hours, or before it states a figure of nothing."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from datetime import date

import numpy as np
from numpy.typing import ArrayLike

from contracts import paths
from contracts.errors import InputError, SettingsError
from contracts.settings import Settings
from training.evaluate import GROUPS
from training.reader import days_with_groups, open_table, training_interval
from training.recipes import Recipe
from training.stream import TABLES


def positive(text: str) -> int:
    """An argument that counts."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return int(text)


def full_model(base: Recipe) -> None:
    """Raises SettingsError where the last rung, which is the recipe itself, would not be DCN + CSCNN."""
    whole = base.backbone != "none" and base.attention != "none" and base.category_prior and not base.cnn_fixed
    if not whole:
        raise SettingsError(
            f"the rungs are cut from a recipe with a picture, attention and category_prior that is trained; "
            f"'{base.name}' (setting ADLENS_RECIPE) has backbone {base.backbone}, attention {base.attention}, "
            f"category_prior {base.category_prior}, cnn_fixed {base.cnn_fixed}. Take daily, or use --against"
        )


def days(held_out: Sequence[date], settings: Settings, recipes: Iterable[Recipe]) -> None:
    """Raises InputError where one has no groups to score, or too few days before it to train on."""
    there = days_with_groups(open_table(paths.table(settings, GROUPS)))
    absent = [day.isoformat() for day in held_out if day.isoformat() not in there]
    if absent:
        raise InputError(
            f"{GROUPS} holds no groups of {', '.join(absent)}, to be held out; it has {len(there)} days"
            f"{f' from {there[0]} to {there[-1]}' if there else ''}. Choose --last and --days among them"
        )
    for grouping, least in {(one.grouping, one.held_out_days) for one in recipes}:
        table = open_table(paths.table(settings, TABLES[grouping]))
        for day in held_out:
            training_interval(table, day, settings.window_days, settings.min_training_days + least)


def labels(label: ArrayLike, held_out: Sequence[date]) -> None:
    """Raises InputError where there is no AUC."""
    clicks, rows = int(np.sum(label)), np.size(label)
    if clicks in (0, rows):
        raise InputError(
            f"{clicks} of the {rows} impressions of {', '.join(map(str, held_out))} were clicked: without both kinds "
            "there is no AUC. Choose other days with --last and --days"
        )
