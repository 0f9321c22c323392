"""What maintenance keeps: the one rule behind the tables' part (spark_jobs.maintain) and the release's (its `tidy`)."""

from __future__ import annotations

import argparse
from datetime import date, timedelta

from contracts import paths
from contracts.days import parse_day
from contracts.errors import InputError, MissingArtifact
from contracts.features import built, lookback
from contracts.history import built_days
from contracts.settings import Settings

NEWEST = "newest"  # no bound: the newest published day, whatever it is


def first_kept(settings: Settings, day: date) -> date:
    """The oldest day that maintenance at `day` keeps: window and held-out day, lateness, the longest look-back of a
    history, and as many days again as runs may be repeated."""
    kept = settings.window_days + 1 + settings.lateness_days + lookback(built(settings)) + settings.rerun_days
    return day - timedelta(days=kept - 1)


def add_day(parser: argparse.ArgumentParser) -> None:
    """The two options from which `counted_from` tells the day; at most one of them."""
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--start", metavar="YYYY-MM-DD", help="day to count back from (default: the newest published)")
    one.add_argument(
        "--at-latest", metavar="YYYY-MM-DD", help=f"the newest published day, but none after this one (`{NEWEST}`: any)"
    )


def counted_from(settings: Settings, start: str | None = None, at_latest: str | None = None) -> date:
    """The day that maintenance counts back from: `start`, or else the newest published day, or `at_latest` (a day, or
    `newest`) where that is earlier. So a clock that is ahead of the data, because a day was refused or is still being
    made, deletes nothing too early and stops nothing.

    Raises InputError for a `start` after the newest published day: a mistyped day in the future would delete
    everything. Raises MissingArtifact where no day is published.
    """
    published = built_days(settings, "impressions")
    if not published:
        raise MissingArtifact(f"no published day in {paths.table(settings, 'impressions')}; run `adlens day` first")
    newest = max(published)
    if start:
        day = parse_day(start)
        if day > newest:
            raise InputError(f"maintenance counts back from a published day; {day} is after the last one, {newest}")
        return day
    return newest if at_latest in (None, NEWEST) else min(parse_day(str(at_latest)), newest)
