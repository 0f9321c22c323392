"""The figures by which a day is judged, and the bounds that the trailing week gives them. Plain Python over a few
numbers a day: spark_jobs.measures counts those of landed days, the table `quality_figures` keeps them. Those of
snapshots and groups (spark_jobs.derived_audit) are bounded alike.

A day's values follow from its own rows; its bounds and drifts from those of the week before it. Whoever changes a day's
values bounds the days after it again, so that the table does not depend on the order in which days were run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from contracts import rules
from contracts.days import day_start, parse_day
from contracts.settings import LandingSettings
from spark_jobs import cleaning, labels
from spark_jobs.measures import BUCKETS, aside

TRAILING_DAYS = 7
# A changed value moves the bounds and drifts of the week after it, and those drifts the bounds of the next.
REACH = 2 * TRAILING_DAYS
MIN_TRAILING = 3  # fewer days before: no bound from them (the first days of a history have nothing to be compared to)
MINUTE = 60_000_000  # microseconds
_EMPTY = 1e-4  # share that stands in for an empty bucket in the stability index


@dataclass(frozen=True)
class Figure:
    """One figure of a day; a row of a table of figures."""

    day: str
    table: str
    figure: str
    value: float | None
    base: float | None = None
    lower: float | None = None
    upper: float | None = None
    level: str | None = None
    verdict: str = "pass"
    buckets: tuple[float, ...] | None = None


Known = dict[str, dict[str, Figure]]  # day -> figure -> it


def measured(
    day: str, counts: Mapping[tuple[str, int], int], suites: Mapping[str, rules.Suite], settings: LandingSettings
) -> list[Figure]:
    """A day's values, still without bounds and drifts. `counts`: of that day, from spark_jobs.measures."""

    def n(what: str) -> int:
        return counts.get((what, 0), 0)

    def share(part: int, whole: int) -> tuple[float | None, float]:
        return (part / whole if whole else None), float(whole)

    def gap(what: str) -> float | None:
        return (_end(day, settings) - n(what)) / MINUTE if n(what) else None

    shown, clicks = n("rows"), n("clicks")
    set_aside = {what: count for (what, _), count in counts.items() if what.startswith("aside ")}
    refused = {
        source: sum(count for what, count in set_aside.items() if what.startswith(aside(source, "")))
        for source in ("impressions", "clicks")
    }
    # A click without its impression is well formed: it is in `clicks` too and must not be counted twice.
    misfits = sum(set_aside.get(aside("clicks", reason), 0) for reason in labels.CLICK_REASONS)
    landed = shown + clicks + sum(refused.values()) - misfits
    landed_impressions = shown + refused["impressions"]
    values: dict[str, tuple[float | None, float | None]] = {
        "rows": (shown, None),
        "ctr": (n("labels") / shown if shown else 0.0, shown),
        "quarantined_share": (sum(refused.values()) / landed if landed else 0.0, landed),
        "unknown_ad_share": share(set_aside.get(aside("impressions", cleaning.UNKNOWN_AD), 0), landed_impressions),
        "unknown_ads": (n("unknown_ads") if n("before") else None, None),
        "known_users": (n("known_users") / shown if shown else 0.0, shown),
        "shown_gap_minutes": (gap("newest_shown"), None),
        "group_fill": share(shown, settings.ad_group_size * n("groups")),
        "clicks": (clicks, None),
        "clicks_joined": share(clicks - misfits, clicks),
        "landed_gap_minutes": (gap("newest_landed"), None),
        "behaviours_known_ads": share(n("acted_on_known"), n("acted")),
        "missing_pictures": share(n("without_picture"), n("catalogue")),
        "profiles": (n("profiles"), None),
    }
    found = []
    for table, suite in suites.items():
        for figure in rules.FIGURES[table]:
            if figure.startswith("drift_"):
                buckets = tuple(float(counts.get((figure, part), 0)) for part in range(BUCKETS))
                found.append(Figure(day, table, figure, None, sum(buckets), buckets=buckets))
            else:
                value, base = (None if one is None else float(one) for one in values[figure])
                found.append(Figure(day, table, figure, value, base))
        for rule in suite.staged():
            found.append(Figure(day, table, rules.broken(rule), float(n(rules.broken(rule)))))
    return found


def relabelled(known: Mapping[str, Figure], counts: Mapping[tuple[str, int], int]) -> dict[str, Figure]:
    """A published day's figures after late clicks: the same, with the CTR of its labels now."""
    rows, clicked = counts.get(("rows", 0), 0), counts.get(("labels", 0), 0)
    if "ctr" not in known or not rows:
        return dict(known)
    return {**known, "ctr": replace(known["ctr"], value=clicked / rows)}


def judged(known: Known, days: Sequence[str], suites: Mapping[str, rules.Suite], settings: LandingSettings) -> Known:
    """`days` of `known`, with their drifts, bounds, levels and verdicts. The days before them are those that count."""
    known = dict(known)
    for day in sorted(days):  # a drift's bound needs the drifts of the days before it
        known[day] = {name: _drifted(one, _trailing(known, day, name)) for name, one in known[day].items()}
        known[day] = {
            name: _bounded(one, _trailing(known, day, name), suites[one.table], settings)
            for name, one in known[day].items()
        }
    return {day: known[day] for day in days}


def bounds(
    known: Known, day: str, suites: Mapping[str, rules.Suite], settings: LandingSettings
) -> dict[str, float | None]:
    """Day rule -> its bound on the day."""
    day_rules = [rule for suite in suites.values() for rule in suite.day]
    return {rule.name: bound_of(rule, _trailing(known, day, rule.figure), settings) for rule in day_rules}


def bound_of(rule: rules.DayRule, trailing: Sequence[Figure], settings: LandingSettings) -> float | None:
    """The rule's bound on a day, from the days before it; None: it has none."""
    bound = rule.bound
    own = getattr(settings, bound.setting) if bound.setting else None
    if own is not None:
        return float(own)
    there = [one for one in trailing if one.value is not None and one.base != 0]
    if not bound.trails or len(there) < MIN_TRAILING:
        return bound.value
    mean = _mean(there)
    if bound.trailing_times is not None:
        return bound.trailing_times * mean
    assert bound.trailing_spread is not None
    plain = [float(one.value or 0.0) for one in there]
    middle = sum(plain) / len(plain)
    spread = math.sqrt(sum((value - middle) ** 2 for value in plain) / len(plain))
    reach = max(bound.trailing_spread * spread, bound.spread_at_least)
    return mean + (reach if rule.at_least is None else -reach)


def stability_index(day: Sequence[float], before: Sequence[float]) -> float:
    """Population stability index of two histograms: sum of (p - q) ln(p / q) over the shares; 0 where equal."""
    p, q = ([max(n / sum(counts), _EMPTY) for n in counts] for counts in (day, before))
    return sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))


def _drifted(one: Figure, trailing: Sequence[Figure]) -> Figure:
    if one.buckets is None:
        return one
    week = [before.buckets for before in trailing if before.buckets and sum(before.buckets)]
    if len(week) < MIN_TRAILING or not sum(one.buckets):
        return replace(one, value=None)
    return replace(one, value=stability_index(one.buckets, [sum(counts) for counts in zip(*week, strict=True)]))


def _bounded(one: Figure, trailing: Sequence[Figure], suite: rules.Suite, settings: LandingSettings) -> Figure:
    """With the tightest bounds of its rules, and the verdict of the strongest rule that is broken."""
    lower: list[float] = []
    upper: list[float] = []
    levels: list[str] = []
    failed: list[str] = []
    for rule in (rule for rule in suite.day if rule.figure == one.figure):
        levels.append(rule.level)
        bound = bound_of(rule, trailing, settings)
        if bound is not None:
            (lower if rule.at_most is None else upper).append(bound)
            if one.value is not None and (one.value < bound if rule.at_most is None else one.value > bound):
                failed.append(rule.level)
    for row_rule in (rule for rule in suite.staged() if rules.broken(rule) == one.figure):
        levels.append(row_rule.level)
        upper.append(0.0)
        if one.value:
            failed.append(row_rule.level)
    return replace(
        one,
        lower=max(lower, default=None),
        upper=min(upper, default=None),
        level=_strongest(levels),
        verdict=_strongest(failed) or "pass",
    )


def _strongest(levels: Sequence[str]) -> str | None:
    return next((level for level in ("stop", "warn") if level in levels), None)


def _trailing(known: Known, day: str, figure: str) -> list[Figure]:
    own = parse_day(day)
    week = [(own - timedelta(days=n)).isoformat() for n in range(1, TRAILING_DAYS + 1)]
    days = [known[one] for one in week if one in known]
    # A day without impressions, which no audit lets through, is no measure of another.
    return [one[figure] for one in days if figure in one and ("rows" not in one or one["rows"].value)]


def _mean(trailing: Sequence[Figure]) -> float:
    """Of shares the pooled one: each day weighs as much as what it is a share of."""
    weights = [1.0 if one.base is None else one.base for one in trailing]
    return sum(float(one.value or 0.0) * w for one, w in zip(trailing, weights, strict=True)) / sum(weights)


def _end(day: str, settings: LandingSettings) -> int:
    """Microseconds since 1970 at which the day ends."""
    return int(day_start(parse_day(day) + timedelta(days=1), settings.time_zone).timestamp()) * 1_000_000
