"""Which day to run: the asked one, else the day after the latest run, else the first that has enough days before it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from contracts.errors import InputError
from contracts.settings import Settings

GENERATED_FIRST = date(2026, 1, 1)  # the generator's first day


def choose(
    settings: Settings, asked: date | None, latest: date | None, landed: Sequence[date] | None
) -> tuple[date, date]:
    """(first landed day, day to run). `landed` None: the generated data, which is made for any day from its first.

    Raises InputError when there is no such day, or fewer than `min_training_days` before it.
    """
    if landed is not None and not landed:
        raise InputError(f"{settings.landing_path} holds no day=YYYY-MM-DD folder")
    first = landed[0] if landed else GENERATED_FIRST
    last = landed[-1] if landed else None
    span = f"the landing data begin on {first}" + (f" and end on {last}" if last else "")
    if asked is not None:
        day = asked
    elif latest is not None:
        day = latest + timedelta(days=1)
    else:
        day = first + timedelta(days=settings.window_days)
        if last is not None and day > last:
            day = last  # fewer days than a window: train on what there is
    if day < first:
        raise InputError(f"{day} is before the first day; {span}")
    if landed is not None and day not in landed:
        after = f" (the latest run was {latest})" if latest and asked is None else ""
        raise InputError(f"there is no landing folder for {day}{after}; {span}")
    before = sum(1 for one in landed if one < day) if landed is not None else (day - first).days
    if before - 1 < settings.min_training_days:  # the first folder's impressions form no groups
        raise InputError(
            f"{day} has {max(before - 1, 0)} days before it to train on and needs at least "
            f"{settings.min_training_days} (setting min_training_days); {span}, and the first one has no snapshot "
            f"before it, so the first day to run is {first + timedelta(days=settings.min_training_days + 1)}"
        )
    return first, day
