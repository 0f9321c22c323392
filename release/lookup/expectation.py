"""How often each ad of a catalogue will be shown tomorrow, from the days that have been.

An ad's age decides how much is to be expected (a cohort is shown most when it is new), its own count how much more or
less than its cohort it gets. With mu_a the mean impressions of an ad on its a-th day, and n_i what ad i has had,

    expected_i = mu_(age tomorrow) * (n_i + kappa) / (sum of mu over its days so far + kappa)

the mean of a Gamma-Poisson model: an ad that was never shown gets its cohort's mean, an old one mostly its own count.
kappa is the moment estimate: Var(n) = m + m^2 / kappa. Ads that were there before the first day that is looked at have
an age that nobody knows and are a class of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from deltalake import DeltaTable
from numpy.typing import NDArray

from contracts.delta_dataset import dataset
from contracts.hashing import code
from contracts.paths import table
from contracts.settings import Settings
from release import delta
from release.lookup.catalogue import Catalogue, ads_table, batches, day_before
from serving.table import EMPTY, Codes, codes_of

Floats = NDArray[np.float64]
MOST_KAPPA = 1e6  # ads that differ by chance alone


@dataclass(frozen=True)
class Counts:
    """Impressions by ad of one day: `codes` ascending, int64 [a]; `shown` [a]."""

    codes: Codes
    shown: NDArray[np.int64]

    def of(self, codes: Codes) -> NDArray[np.int64]:
        if not len(self.codes):
            return np.zeros(len(codes), np.int64)
        at = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where(self.codes[at] == codes, self.shown[at], 0)


@dataclass(frozen=True)
class Expectation:
    """`shown`: expected impressions of tomorrow [n], in the catalogue's order. `strangers`: the share of a day's
    impressions that goes to ads which were not in the catalogue when it began."""

    shown: Floats
    strangers: float


def counts(impressions: DeltaTable, day: str) -> Counts:
    """Of one day of the log, a batch at a time."""
    codes, shown = EMPTY, np.empty(0, np.int64)
    for batch in dataset(impressions, [day]).to_batches(columns=["ad_id"]):
        found = batch.column("ad_id").value_counts()
        own = np.array([code(ad) for ad in found.field("values").to_pylist()], np.int64)
        codes, of = np.unique(np.concatenate([codes, own]), return_inverse=True)
        both = np.concatenate([shown, found.field("counts").to_numpy()])
        shown = np.bincount(of, both, len(codes)).astype(np.int64)
    return Counts(codes, shown)


def expected(catalogues: Sequence[Codes], days: Sequence[Counts]) -> Expectation:
    """`catalogues`: the ads, ascending, at the end of each of T + 1 days; `days`: the impressions of the last T.

    The answer is in the order of the last catalogue.
    """
    entered = np.zeros(len(catalogues[0]), np.int64)  # index of the first catalogue an ad was in; 0: or before it
    last = len(catalogues) - 1
    shown, there, strangers = np.zeros(last + 2), np.zeros(last + 2), []
    for at in range(1, last + 1):
        before, today = catalogues[at - 1], days[at - 1]
        count, group = today.of(before), _class(entered, at)
        shown += np.bincount(group, count, last + 2)
        there += np.bincount(group, minlength=last + 2)
        total = int(today.shown.sum())
        if total:
            strangers.append(1 - count.sum() / total)
        entered = _carried(before, entered, catalogues[at], at)
    mean = _filled(shown, there)
    ads = catalogues[-1]
    had, due = np.zeros(len(ads)), np.zeros(len(ads))
    for at in range(1, last + 1):
        known = entered < at
        had += np.where(known, days[at - 1].of(ads), 0)
        due += np.where(known, mean[_class(np.minimum(entered, at), at)], 0.0)
    kappa = _kappa(had, due)
    tomorrow = mean[_class(entered, last + 1)] * (had + kappa) / (due + kappa)
    return Expectation(tomorrow, float(np.mean(strangers)) if strangers else 0.0)


def _class(entered: NDArray[np.int64], day: int) -> NDArray[np.int64]:
    """Age on that day, in days since the first catalogue; 0 where it is not known."""
    return np.where(entered == 0, 0, day - entered)


def _carried(before: Codes, entered: NDArray[np.int64], now: Codes, day: int) -> NDArray[np.int64]:
    at = np.minimum(np.searchsorted(before, now), len(before) - 1)
    return np.where(before[at] == now, entered[at], day)


def _filled(shown: Floats, there: Floats) -> Floats:
    """Mean by class; of an age that nobody has had yet, the nearest younger one's, else that of all."""
    mean = np.divide(shown, there, out=np.full(len(shown), np.nan), where=there > 0)
    overall = shown.sum() / there.sum() if there.sum() else 1.0
    if np.isnan(mean[0]):
        mean[0] = overall
    for at in range(1, len(mean)):
        if np.isnan(mean[at]):
            mean[at] = mean[at - 1] if at > 1 else overall
    return mean


def _kappa(had: Floats, due: Floats) -> float:
    known = due > 0
    square = float(np.sum(np.square(due[known])))
    excess = float(np.sum(np.square(had[known] - due[known]) - due[known]))
    return min(MOST_KAPPA, square / excess) if excess > 0 else MOST_KAPPA


def of_catalogue(catalogue: Catalogue, settings: Settings) -> Expectation:
    """Of the day after the catalogue's, from the days up to it. Without a log every ad counts the same."""
    log, ads = table(settings, "impressions"), ads_table(settings)
    span = [day_before(catalogue.day, back) for back in range(settings.table_history_days, -1, -1)]
    there = delta.fingerprints(ads, span).keys()
    shown = delta.fingerprints(DeltaTable(log), span).keys() if delta.exists(log) else set()
    order = np.argsort(catalogue.codes)
    own = catalogue.codes[order]
    catalogues: list[Codes] = []
    days: list[Counts] = []
    for day in span:
        if catalogues and day == catalogue.day and day not in shown:
            catalogues[-1] = own  # refreshed before its day was over: counted from the day before
            break
        if day not in there or (catalogues and day not in shown):
            catalogues, days = [], []  # only days in a row tell ages
            if day not in there:
                continue
        elif catalogues:
            days.append(counts(DeltaTable(log), day))
        catalogues.append(own if day == catalogue.day else _codes(ads, day))
    found = expected(catalogues, days)
    in_order = np.empty(len(own))
    in_order[order] = found.shown
    return Expectation(in_order, found.strangers)


def _codes(ads: DeltaTable, day: str) -> Codes:
    return np.sort(np.concatenate([codes_of(b.column("ad_id").to_pylist()) for b in batches(ads, day, ["ad_id"])]))
