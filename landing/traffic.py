"""A day's true traffic: who saw which ad, with what probability they clicked, and when the click landed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from landing.ads import Cohort, shown_days, shown_weight
from landing.shares import LOOKS, OUTSIDE_WINDOW, bias, scale
from landing.streams import CLICKS, DAY_MICROS, HOUR, IMPRESSIONS, SECOND, micros, stream
from landing.vocabulary import CATEGORIES
from landing.world import CATEGORY_NAMES, HOUR_SHARES, POSITIONS, QUERY_SHARES, Floats, Ints, World

SAME_DAY_SHARE = 0.01  # impressions on ads that enter at the end of this very day
LATE_SHARE = 0.01  # clicks that land one to three days late


@dataclass(frozen=True)
class Clicks:
    """Times in microseconds since 1970, UTC. `impression` indexes the day's impressions."""

    impression: Ints
    clicked_at: Ints
    landed_at: Ints


@dataclass(frozen=True)
class Traffic:
    """N impressions in order of time."""

    day: int
    ids: list[str]
    shown_at: Ints
    user: Ints
    ad_ids: list[str]
    age: Ints  # days since the ad entered the catalogue; 0: entered on this very day
    position: Ints
    queries: list[str | None]
    terms: dict[str, Floats]  # cause -> its part of the logit [N]
    probability: Floats  # of a click that counts [N]
    clicks: Clicks


def make_traffic(world: World, day: int, cohort: Callable[[int], Cohort]) -> Traffic:
    rng, n = stream(world.seed, IMPRESSIONS, day), world.sizes.impressions
    hour = np.sort(rng.choice(24, n, p=HOUR_SHARES))
    shown_at = np.sort(micros(day) + hour * HOUR + rng.integers(0, HOUR, n))
    live = [cohort(entered) for entered in shown_days(day)]
    today = cohort(day)
    ages = np.concatenate([np.full(len(c.ids), day - c.entered) for c in [*live, today]])
    known = ages > 0
    weight = np.concatenate([c.popularity for c in [*live, today]]) * shown_weight(ages)
    old, fresh = np.flatnonzero(known), np.flatnonzero(~known)
    ad = rng.choice(old, n, p=weight[old] / weight[old].sum())
    early = rng.random(n) < SAME_DAY_SHARE / HOUR_SHARES[12:].sum()
    ad = np.where(early & (hour >= 12), rng.choice(fresh, n), ad)
    user = rng.choice(world.sizes.users, n, p=world.activity)
    position = rng.integers(0, POSITIONS, n)
    match = rng.choice(3, n, p=QUERY_SHARES)

    def column(name: str) -> Ints:
        return np.concatenate([getattr(c, name) for c in [*live, today]])[ad]

    category, brand = column("category"), column("brand")
    score = {
        **dict(zip(LOOKS, column("look_score").T, strict=True)),
        "brand": world.brand[brand],
        "age_brand": world.age_brand[world.age[user], brand],
        "price_sensitivity": world.sensitivity_score[world.sensitivity[user]] * column("price_score"),
        "gender_category": world.gender_category[world.gender[user], category],
        "user_category": world.user_category[user, category],
        "user": world.user_score[user],
        "position": world.position[position],
        "query_match": world.query[match],
        "hour": world.hour[hour],
        "weekday": np.full(n, world.weekday[date.fromordinal(day).weekday()]),
        "ad": column("score"),
    }
    terms = {cause: scale(cause) * values for cause, values in score.items()}
    logit = bias() + np.sum(list(terms.values()), axis=0)
    clicked = 1 / (1 + np.exp(-logit))
    every_id = [ad_id for c in [*live, today] for ad_id in c.ids]
    label = date.fromordinal(day).strftime("%Y%m%d")
    return Traffic(
        day=day,
        ids=[f"i{label}-{at:06d}" for at in range(n)],
        shown_at=shown_at,
        user=user,
        ad_ids=[every_id[at] for at in ad],
        age=ages[ad],
        position=position,
        queries=_queries(rng, match, category),
        terms=terms,
        # Rounded, so that processors whose exp differs in the last bit write the same file.
        probability=np.round(clicked * (1 - OUTSIDE_WINDOW), 9),
        clicks=_clicks(world, day, shown_at, clicked),
    )


def _queries(rng: np.random.Generator, match: NDArray[np.int64], category: Ints) -> list[str | None]:
    """One to three words of the ad's category, of another one, or no query."""
    other = (category + rng.integers(1, len(CATEGORY_NAMES), len(match))) % len(CATEGORY_NAMES)
    asked = np.where(match == 1, category, other)
    count, first = rng.integers(1, 4, len(match)), rng.integers(0, 10, len(match))
    step = rng.integers(1, 4, len(match))
    lists = [CATEGORIES[name] for name in CATEGORY_NAMES]
    return [
        None if m == 0 else " ".join(lists[c][(f + s * word) % 10] for word in range(k))
        for m, c, k, f, s in zip(match, asked, count, first, step, strict=True)
    ]


def _clicks(world: World, day: int, shown_at: Ints, clicked: Floats) -> Clicks:
    """Most clicks come and land within minutes; a few outside the window; a few land one to three days late."""
    rng = stream(world.seed, CLICKS, day)
    at = np.flatnonzero(rng.random(len(clicked)) < clicked)
    n = len(at)
    delay = np.clip(rng.lognormal(np.log(60), 1.0, n), 1, 3300)
    delay = np.where(rng.random(n) < OUTSIDE_WINDOW, rng.uniform(4000, 14000, n), delay)
    clicked_at = shown_at[at] + (delay * SECOND).astype(np.int64)
    landed_at = clicked_at + (rng.exponential(30, n) * SECOND).astype(np.int64) + SECOND
    late = rng.random(n) < LATE_SHARE
    later = micros(day) + rng.integers(1, 4, n) * DAY_MICROS + rng.integers(0, DAY_MICROS, n)
    return Clicks(at, clicked_at, np.where(late, np.maximum(later, landed_at), landed_at))
