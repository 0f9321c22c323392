"""Which business day a DAG run is about: one rule for scheduled, manual, backfill and test runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from contracts.days import parse_day
from contracts.errors import InputError


def resolve_day(conf: Mapping[str, Any] | None, logical_date: datetime | None, time_zone: str) -> str:
    """D as YYYY-MM-DD: `day` of the run's conf, else the business day in which the logical date lies.

    A scheduled run's logical date is the start of its interval [D 02:00, D+1 02:00), so it lies in D; the date that
    a person types (`airflow dags test adlens_daily 2026-02-03`) is read at its face, as that day's midnight UTC.
    Raises InputError for a manual run that has neither.
    """
    asked = (conf or {}).get("day")
    if asked:
        return parse_day(str(asked)).isoformat()
    if logical_date is None:
        raise InputError('this run has no logical date and no day; trigger it with the conf {"day": "YYYY-MM-DD"}')
    if logical_date.utcoffset() is not None and logical_date.timestamp() % 86_400 == 0:
        return logical_date.astimezone(ZoneInfo("UTC")).date().isoformat()
    return logical_date.astimezone(ZoneInfo(time_zone)).date().isoformat()
