"""Which business day a DAG run is about: one rule for scheduled, manual, backfill and test runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from contracts import keeping
from contracts.days import Days, parse_day
from contracts.errors import InputError

BY_THE_CLOCK = ("scheduled", "backfill")  # Airflow's run types whose logical date the timetable chose


def resolve_day(
    conf: Mapping[str, Any] | None, logical_date: datetime | None, time_zone: str, run_type: str = "manual"
) -> str:
    """D as YYYY-MM-DD: `day` of the run's conf, else the business day in which the logical date lies.

    The logical date of a scheduled or backfill run is the start of its interval [D 02:00, D+1 02:00), so it lies in D.
    The date that a person types (`airflow dags test adlens_daily 2026-02-03`) is read at its face, as that day's
    midnight UTC. Raises InputError for a manual run that has neither.
    """
    asked = (conf or {}).get("day")
    if asked:
        return parse_day(str(asked)).isoformat()
    if logical_date is None:
        raise InputError('this run has no logical date and no day; trigger it with the conf {"day": "YYYY-MM-DD"}')
    typed = logical_date.utcoffset() is not None and logical_date.timestamp() % 86_400 == 0
    zone = "UTC" if typed and run_type not in BY_THE_CLOCK else time_zone
    return logical_date.astimezone(ZoneInfo(zone)).date().isoformat()


def last_whole_day(
    conf: Mapping[str, Any] | None,
    logical_date: datetime | None,
    interval_end: datetime | None,
    time_zone: str,
    run_type: str = "manual",
) -> str:
    """As `resolve_day`, for an interval of several days: a scheduled run is about the last day before its end."""
    if (conf or {}).get("day") or interval_end is None or run_type not in BY_THE_CLOCK:
        return resolve_day(conf, logical_date, time_zone, run_type)
    return (interval_end.astimezone(ZoneInfo(time_zone)).date() - timedelta(days=1)).isoformat()


def at_latest(
    conf: Mapping[str, Any] | None,
    logical_date: datetime | None,
    interval_end: datetime | None,
    time_zone: str,
    run_type: str = "manual",
) -> str:
    """As `last_whole_day`, as a bound: `newest` (none) for a run that has neither a day nor a logical date."""
    if logical_date is None and not (conf or {}).get("day"):
        return keeping.NEWEST
    return last_whole_day(conf, logical_date, interval_end, time_zone, run_type)


def shifted(day: str, days: int) -> str:
    """The day so many days later (negative: earlier)."""
    return (parse_day(day) + timedelta(days=days)).isoformat()


def days_between(first_day: str, last_day: str) -> list[str]:
    """Both included. Raises InputError where the last is before the first."""
    return Days(parse_day(first_day), parse_day(last_day) + timedelta(days=1)).texts()


def chunks(first_day: str, last_day: str, size: int) -> list[tuple[str, str]]:
    """The same as half-open intervals of at most `size` days."""
    days = days_between(first_day, last_day)
    starts = range(0, len(days), size)
    return [(days[n], shifted(days[min(n + size, len(days)) - 1], 1)) for n in starts]
