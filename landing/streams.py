"""Random streams keyed by (seed, stream, day): one day's numbers never depend on which other days were made."""

from __future__ import annotations

from datetime import date

import numpy as np

WORLD, USERS, ADS, PICTURES, IMPRESSIONS, CLICKS, BEHAVIOURS, FAULTS, SHUFFLE = range(9)
NO_DAY = 0  # for what is drawn once for the whole world


def stream(seed: int, name: int, day: int = NO_DAY) -> np.random.Generator:
    """The generator of one stream of one day. `day` is an ordinal (`date.toordinal`)."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, name, day])))


def micros(day: int) -> int:
    """Midnight UTC of an ordinal day, microseconds since 1970."""
    return (day - date(1970, 1, 1).toordinal()) * DAY_MICROS


SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY_MICROS = 24 * HOUR
