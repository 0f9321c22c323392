"""What real logs have and nobody wants: copies, further clicks, and a few broken rows a day (well under 1 %)."""

from __future__ import annotations

from datetime import date

import numpy as np

from landing.streams import FAULTS, HOUR, SECOND, micros, stream
from landing.traffic import Traffic
from landing.world import World

Row = dict[str, object]
COPIES, SAME_ID, UNKNOWN_AD = 0.001, 0.0002, 0.0004  # of the impressions
FURTHER, BEFORE, ORPHAN = 0.01, 0.003, 0.003  # of a tenth of the impressions, about the clicks


def count(rate: float, rows: int) -> int:
    """Rounded, so that a small set has none rather than one too many."""
    return int(rate * rows + 0.5)


def faulty_rows(world: World, traffic: Traffic) -> tuple[list[Row], list[Row]]:
    """Further rows of impressions and of clicks; times in microseconds. Clicks land in the folder of `landed_at`."""
    rng, n = stream(world.seed, FAULTS, traffic.day), len(traffic.ids)
    impressions: list[Row] = []
    for at in rng.choice(n, count(COPIES, n), replace=False):
        impressions.append(impression(world, traffic, int(at)))
    before_22 = int(np.searchsorted(traffic.shown_at, micros(traffic.day) + 22 * HOUR))
    for at in rng.integers(0, max(before_22, 1), count(SAME_ID, n)):
        shown_at = int(traffic.shown_at[at]) + HOUR
        impressions.append({**impression(world, traffic, int(at)), "shown_at": shown_at, "position": 99})
    label = date.fromordinal(traffic.day).strftime("%Y%m%d")
    for number, at in enumerate(rng.integers(0, n, count(UNKNOWN_AD, n))):
        unknown: Row = {"impression_id": f"i{label}-u{number:03d}", "ad_id": f"a-unknown-{number:03d}"}
        impressions.append({**impression(world, traffic, int(at)), **unknown})
    return impressions, _clicks(world, traffic, rng, label)


def impression(world: World, traffic: Traffic, at: int) -> Row:
    return {
        "impression_id": traffic.ids[at],
        "shown_at": int(traffic.shown_at[at]),
        "user_id": world.user_ids[traffic.user[at]],
        "ad_id": traffic.ad_ids[at],
        "position": int(traffic.position[at]),
        "query": traffic.queries[at],
    }


def _clicks(world: World, traffic: Traffic, rng: np.random.Generator, label: str) -> list[Row]:
    rows: list[Row] = []
    made, about = traffic.clicks, len(traffic.ids) / 10
    for at in rng.choice(len(made.impression), min(count(FURTHER, int(about)), len(made.impression)), replace=False):
        gap = int(rng.integers(1, 60)) * SECOND
        name = traffic.ids[made.impression[at]]
        rows.append(_click(name, int(made.clicked_at[at]) + gap, int(made.landed_at[at]) + gap))
    unclicked = np.setdiff1d(np.arange(len(traffic.ids)), made.impression)
    for at in rng.choice(unclicked, min(count(BEFORE, int(about)), len(unclicked)), replace=False):
        shown, gap = int(traffic.shown_at[at]), int(rng.integers(1, 60)) * SECOND
        rows.append(_click(traffic.ids[at], shown - gap, shown + gap))
    for number in range(count(ORPHAN, int(about))):
        clicked = micros(traffic.day) + int(rng.integers(0, 20 * HOUR))
        rows.append(_click(f"i{label}-x{number:03d}", clicked, clicked + SECOND))
    return rows


def _click(name: str, clicked_at: int, landed_at: int) -> Row:
    return {"impression_id": name, "clicked_at": clicked_at, "landed_at": landed_at}
