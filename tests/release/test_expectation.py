"""Tomorrow's impressions: by hand, and on the generator's own traffic against the day that came."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from landing.ads import catalogue_days, make_cohort
from landing.traffic import make_traffic
from landing.world import Sizes, make_world
from release.lookup import coverage
from release.lookup.catalogue import Catalogue
from release.lookup.expectation import Counts, expected
from serving.table import codes_of


def codes(*ads: int) -> np.ndarray:
    return np.array(ads, np.int64)


def counted(**shown: int) -> Counts:
    """ad7=3: ad 7 was shown three times."""
    ads = sorted((int(name[2:]), times) for name, times in shown.items())
    return Counts(codes(*(ad for ad, _ in ads)), codes(*(times for _, times in ads)))


def test_by_hand() -> None:
    """Ads 1 to 4 are old. 5 and 6 enter on the first day, 7 and 8 on the second, 9 on the last: it was never shown."""
    catalogues = [codes(1, 2, 3, 4), codes(1, 2, 3, 4, 5, 6), codes(1, 2, 3, 4, 5, 6, 7, 8), codes(1, 2, 5, 6, 7, 8, 9)]
    days = [
        counted(ad1=10, ad2=10, ad3=10, ad4=10, ad5=8),  # ad 5 is shown on the day it enters: a stranger
        counted(ad1=10, ad2=10, ad3=10, ad4=10, ad5=60, ad6=20),
        counted(ad1=10, ad2=10, ad5=30, ad6=10, ad7=60, ad8=20),
    ]
    found = expected(catalogues, days)
    shown = dict(zip(catalogues[-1].tolist(), found.shown, strict=True))
    assert found.strangers == pytest.approx((8 / 48 + 0 + 0) / 3)
    # A first day has (60 + 20 + 60 + 20) / 4 = 40, a second one (30 + 10) / 2 = 20; a third one nobody has had: 20.
    assert shown[9] == pytest.approx(40)
    assert 20 < shown[5] < 20 * 1.5 + 1e-9 and 20 > shown[6] > 10 - 1e-9
    assert 20 < shown[7] and shown[8] < 20 and shown[7] / shown[8] < 3
    assert shown[1] == shown[2] > 0


def test_ads_that_differ_by_chance_alone_get_their_cohorts_mean() -> None:
    random = np.random.default_rng(1)
    ads = np.arange(2_000)
    days = [Counts(ads, random.poisson(5.0, len(ads))) for _ in range(4)]
    found = expected([ads] * 5, days)
    assert found.shown.std() < 0.15 and found.shown.mean() == pytest.approx(5, abs=0.1)


def test_without_a_day_all_count_the_same() -> None:
    found = expected([codes(3, 5, 8)], [])
    assert found.shown.tolist() == [1, 1, 1] and found.strangers == 0


@pytest.fixture(scope="module")
def traffic():
    """Catalogues and impressions of sixteen generated days: ads live for ten, a tenth is new each day."""
    world, first = make_world(1, Sizes(image_size=8), "category"), date(2026, 1, 1).toordinal()
    cohorts = {entered: make_cohort(world, entered, False) for entered in range(first - 10, first + 16)}
    catalogues, days = [], []
    for day in range(first, first + 16):
        ids = [ad for entered in catalogue_days(day) for ad in cohorts[entered].ids]
        catalogues.append(np.sort(codes_of(ids)))
        shown, times = np.unique(codes_of(make_traffic(world, day, cohorts.__getitem__).ad_ids), return_counts=True)
        days.append(Counts(shown, times))
    return catalogues, days


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.7, 1.0])
def test_coverage_is_predicted_within_two_points(traffic, share) -> None:
    catalogues, days = traffic
    misses = []
    for last in range(11, 15):
        known = catalogues[last]
        found = expected(catalogues[max(0, last - 14) : last + 1], days[max(1, last - 13) : last + 1])
        whole = Catalogue("", known, known, known)
        order = coverage.by_worth(whole, found)
        ads = int(share * len(known))
        drawn = coverage.curve(known, order, found, days[last + 1], [ads])
        misses.append(drawn.at(ads) - drawn.at(ads, "measured"))
        assert drawn.at(ads, "measured") > share * 1.1 or share == 1.0  # it does choose
    assert np.abs(misses).max() < 0.02, misses


def test_the_budget_takes_the_most_shown() -> None:
    found = expected([codes(3, 5, 8, 9)] * 2, [counted(ad3=1, ad5=90, ad8=5, ad9=90)])
    catalogue = Catalogue("", codes(3, 5, 8, 9), codes(0, 0, 0, 0), codes(0, 0, 0, 0))
    order = coverage.by_worth(catalogue, found)
    assert order.tolist() == [1, 3, 2, 0]
    assert coverage.inside(order, 2 * 40 + 39, 40).tolist() == [False, True, False, True]
    assert coverage.inside(order, 10**9, 40).all() and not coverage.inside(order, 39, 40).any()
