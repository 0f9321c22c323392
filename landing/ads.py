"""Ads: a cohort enters the catalogue at the end of each day, is shown on the nine days after it, and goes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date

import numpy as np

from landing.pictures import LEVELS, Look, draw, jpeg
from landing.shares import LOOKS
from landing.streams import ADS, PICTURES, SHUFFLE, stream
from landing.vocabulary import CATEGORIES, GENERAL
from landing.world import BRANDS, CATEGORY_NAMES, LIFETIME, SHOPS, Floats, Ints, World

NOT_A_PICTURE = b"<html><body>404 not found</body></html>"


@dataclass(frozen=True)
class Cohort:
    """The ads that entered at the end of day `entered` (ordinal). N ads."""

    entered: int
    ids: list[str]
    category: Ints  # [N], the true one, also where the catalogue lacks it
    brand: Ints
    shop: Ints
    price_score: Floats  # standardised log price
    titles: list[str]
    reviews: Ints  # on the day of entry
    reviews_daily: Ints  # growth
    popularity: Floats
    score: Floats  # what no column tells
    look_score: Floats  # [N, factors], mean 0 and variance 1 each
    images: list[str | None]  # SHA-256 hex as the catalogue has it
    files: dict[str, bytes]  # what lands in images/
    no_category: frozenset[int]


def shown_weight(age: Ints | int) -> Floats:
    """Exposure by age in days since entry, from 1 on: front-loaded, about 40 % on the first two days."""
    return np.exp(-0.2 * (np.asarray(age) - 1.0))


def make_cohort(world: World, entered: int, shuffle_pictures: bool) -> Cohort:
    rng, n = stream(world.seed, ADS, entered), world.sizes.new_ads
    category = rng.integers(0, len(CATEGORY_NAMES), n)
    brand = rng.choice(BRANDS, n, p=world.brand_shares)
    looks = _looks(rng, n)
    label = date.fromordinal(entered).strftime("%Y%m%d")
    pictures = _pictures(world, entered, looks)
    if shuffle_pictures:  # the click truth keeps the look, another ad of the cohort shows it
        pictures = [pictures[at] for at in stream(world.seed, SHUFFLE, entered).permutation(n)]
    images: list[str | None] = [hashlib.sha256(picture).hexdigest() for picture in pictures]
    files = {name: picture for name, picture in zip(images, pictures, strict=True) if name}
    no_category = _break(entered, n, images, files)
    return Cohort(
        entered=entered,
        ids=[f"a{label}-{at:04d}" for at in range(n)],
        category=category,
        brand=brand,
        shop=(brand * 7 + rng.integers(0, 3, n) * 31) % SHOPS,
        price_score=np.clip(rng.standard_normal(n), -2.8, 2.8),
        titles=[_title(rng, int(c)) for c in category],
        reviews=rng.lognormal(2.5, 1.2, n).astype(np.int64),
        reviews_daily=rng.poisson(3.0, n).astype(np.int64),
        popularity=np.clip(rng.lognormal(0.0, 0.8, n), 0.1, 6.0),
        score=rng.standard_normal(n),
        look_score=np.array(
            [[_effect(world, f, look, c) for f in LOOKS] for look, c in zip(looks, category, strict=True)]
        ),
        images=images,
        files=files,
        no_category=no_category,
    )


def _looks(rng: np.random.Generator, n: int) -> list[Look]:
    hue = rng.uniform(0, 2 * np.pi, n)
    levels = {factor: rng.integers(0, count, n) for factor, count in LEVELS.items()}
    return [Look(float(hue[at]), **{factor: int(level[at]) for factor, level in levels.items()}) for at in range(n)]


def _effect(world: World, factor: str, look: Look, category: int) -> float:
    return float(np.sqrt(2) * np.cos(look.angle(factor) - world.phases[factor][category]))


def _pictures(world: World, entered: int, looks: list[Look]) -> list[bytes]:
    rng = stream(world.seed, PICTURES, entered)
    return [jpeg(draw(look, world.sizes.image_size, rng)) for look in looks]


def _title(rng: np.random.Generator, category: int) -> str:
    """4 to 7 words, 2 or 3 of them of the category."""
    own = rng.choice(CATEGORIES[CATEGORY_NAMES[category]], rng.integers(2, 4), replace=False)
    other = rng.choice(GENERAL, rng.integers(2, 5), replace=False)
    return " ".join(rng.permutation(np.concatenate([own, other])).tolist())


def _break(entered: int, n: int, images: list[str | None], files: dict[str, bytes]) -> frozenset[int]:
    """Faults of the catalogue, about one ad a cohort of 80: a picture gone, cut or no picture, a null, no category."""
    broken = range(n - int(n / 80 + 0.5), n)
    for at in broken:
        name = images[at]
        assert name is not None
        kind = entered % 5
        if kind == 0:
            del files[name]
        elif kind == 1:
            files[name] = files[name][: len(files[name]) // 2]
        elif kind == 2:
            files[name] = NOT_A_PICTURE
        elif kind == 3:
            images[at] = None
            del files[name]
    return frozenset(broken) if entered % 5 == 4 else frozenset()


def catalogue_days(day: int) -> range:
    """Days of entry of the ads in the catalogue at the end of `day`."""
    return range(day - LIFETIME + 1, day + 1)


def shown_days(day: int) -> range:
    """Days of entry of the ads that are shown all of `day`: in the catalogue both when it begins and when it ends."""
    return catalogue_days(day)[:-1]
