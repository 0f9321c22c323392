"""What is drawn once for a seed: users, brands, and every table of effects. All scores have mean 0 and variance 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contracts.errors import InputError
from landing.shares import LOOKS
from landing.streams import USERS, WORLD, stream
from landing.vocabulary import CATEGORIES

Looks = Literal["category", "plain"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CATEGORY_NAMES = tuple(CATEGORIES)
BRANDS, SHOPS, LIFETIME, POSITIONS = 60, 100, 10, 8  # LIFETIME: days in the catalogue
AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
AGE_SHARES = np.array([0.16, 0.26, 0.22, 0.17, 0.12, 0.07])
GENDERS = ("female", "male")
REGIONS = tuple(f"region-{n:02d}" for n in range(1, 13))
SENSITIVITIES = ("low", "middle", "high")
SENSITIVITY_SHARES = np.array([0.3, 0.4, 0.3])
HOUR_SHARES = np.array([14, 9, 6, 4, 3, 4, 8, 16, 26, 34, 40, 44, 48, 46, 44, 43, 44, 48, 55, 64, 70, 66, 48, 28.0])
HOUR_SHARES /= HOUR_SHARES.sum()
QUERY_SHARES = np.array([0.5, 0.3, 0.2])  # no query, a matching one, another category's


@dataclass(frozen=True)
class Sizes:
    """How much a day holds. Behaviours are a quarter of the impressions, new ads a tenth of the catalogue."""

    impressions: int = 12_000
    ads: int = 800
    users: int = 2_000
    image_size: int = 64

    def __post_init__(self) -> None:
        for name, least in (("impressions", 1), ("ads", LIFETIME), ("users", 1), ("image_size", 8)):
            if getattr(self, name) < least:
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least {least}")

    @property
    def behaviours(self) -> int:
        return self.impressions // 4

    @property
    def new_ads(self) -> int:
        return self.ads // LIFETIME


def standardised(values: Floats, weights: Floats | None = None) -> Floats:
    """Mean 0 and variance 1 under `weights` (default uniform) along the last axis; [.., n] -> [.., n]."""
    shares = np.full(values.shape[-1], 1 / values.shape[-1]) if weights is None else weights
    centred = values - (values @ shares)[..., None]
    return centred / np.sqrt(np.square(centred) @ shares)[..., None]


@dataclass(frozen=True)
class World:
    """Shapes: U users, B brands, C categories, A age bands. Users' columns are indices into the name tuples."""

    seed: int
    sizes: Sizes
    looks: Looks
    user_ids: list[str]
    activity: Floats  # [U], sums to 1
    age: Ints
    gender: Ints
    region: Ints
    sensitivity: Ints
    brand_shares: Floats  # [B]
    user_score: Floats  # [U]
    user_category: Floats  # [U, C]
    gender_category: Floats  # [2, C]
    brand: Floats  # [B]
    age_brand: Floats  # [A, B]
    sensitivity_score: Floats  # [3], times the standardised log price
    position: Floats  # [POSITIONS]
    query: Floats  # [3]
    hour: Floats  # [24]
    weekday: Floats  # [7], Monday first
    phases: dict[str, Floats]  # look factor -> [C]: the angle that the category likes best


def make_world(seed: int, sizes: Sizes, looks: Looks) -> World:
    rng, users = stream(seed, WORLD), stream(seed, USERS)
    n, categories = sizes.users, len(CATEGORY_NAMES)
    activity = users.lognormal(0.0, 1.0, n)
    activity /= activity.sum()
    brand_shares = (1 / np.arange(2, BRANDS + 2) ** 0.7)[rng.permutation(BRANDS)]
    brand_shares /= brand_shares.sum()
    age_brand = rng.standard_normal((len(AGE_BANDS), BRANDS))
    age_brand -= (AGE_SHARES @ age_brand)[None, :]
    age_brand -= (age_brand @ brand_shares)[:, None]
    age_brand /= np.sqrt(AGE_SHARES @ np.square(age_brand) @ brand_shares)
    taste = standardised(rng.standard_normal(categories))
    lowered = np.array([0.8, -0.2, -1.2])  # the sensitive avoid the dear, the others rather like it
    hour_score = np.cos((np.arange(24) - 21) * 2 * np.pi / 24)
    return World(
        seed=seed,
        sizes=sizes,
        looks=looks,
        user_ids=[f"u{at:05d}" for at in range(n)],
        activity=activity,
        age=users.choice(len(AGE_BANDS), n, p=AGE_SHARES),
        gender=users.integers(0, len(GENDERS), n),
        region=users.integers(0, len(REGIONS), n),
        sensitivity=users.choice(3, n, p=SENSITIVITY_SHARES),
        brand_shares=brand_shares,
        user_score=standardised(users.standard_normal(n), activity) if n > 1 else np.zeros(1),
        user_category=standardised(users.standard_normal((n, categories))),
        gender_category=np.stack([taste, -taste]),
        brand=standardised(rng.standard_normal(BRANDS), brand_shares),
        age_brand=age_brand,
        sensitivity_score=lowered / np.sqrt(SENSITIVITY_SHARES @ np.square(lowered)),
        position=standardised(-np.log1p(np.arange(POSITIONS, dtype=float))),
        query=standardised(np.array([0.0, 1.0, -1.0]), QUERY_SHARES),
        hour=standardised(hour_score, HOUR_SHARES),
        weekday=standardised(rng.standard_normal(7)),
        phases=look_phases(rng, looks),
    )


def look_phases(rng: np.random.Generator, looks: Looks) -> dict[str, Floats]:
    """Each look factor is an angle; a category likes one angle best: effect sqrt(2) cos(angle - phase).

    In `category` mode the phases lie evenly round the circle, so that what sells in one category repels in another and
    the mean effect over categories is nil. In `plain` mode every category has the same phase. Variance is 1 in both.
    """
    phases: dict[str, Floats] = {}
    for factor in LOOKS:
        start = rng.uniform(0, 2 * np.pi)
        spread = rng.permutation(len(CATEGORY_NAMES)) * 2 * np.pi / len(CATEGORY_NAMES)
        phases[factor] = start + (spread if looks == "category" else np.zeros(len(CATEGORY_NAMES)))
    return phases
