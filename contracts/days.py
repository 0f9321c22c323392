"""Business days and half-open intervals of them. No function here asks the clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from contracts.errors import InputError


def parse_day(text: str) -> date:
    """`2026-02-03` -> date. Raises InputError for anything else."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"'{text}' is not a day; write it as YYYY-MM-DD, for example 2026-02-03") from None


def day_start(day: date, time_zone: str) -> datetime:
    """The moment, in UTC, at which `day` begins in the business time zone."""
    return datetime.combine(day, time.min, ZoneInfo(time_zone)).astimezone(UTC)


@dataclass(frozen=True)
class Days:
    """The half-open interval [start, end) of business days."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise InputError(f"the interval [{self.start}, {self.end}) holds no day; end must be after start")

    @classmethod
    def parse(cls, start: str, end: str | None = None) -> Days:
        """From text; without `end`, the single day `start`."""
        first = parse_day(start)
        return cls(first, parse_day(end) if end else first + timedelta(days=1))

    def __iter__(self) -> Iterator[date]:
        return (self.start + timedelta(days=n) for n in range((self.end - self.start).days))

    def __len__(self) -> int:
        return (self.end - self.start).days

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.start <= day < self.end

    def widened(self, before: int = 0, after: int = 0) -> Days:
        return Days(self.start - timedelta(days=before), self.end + timedelta(days=after))

    def texts(self) -> list[str]:
        return [day.isoformat() for day in self]


def training_days(day: date, window: int) -> Days:
    """Rule 4: run D trains on [D - window, D) and holds out D."""
    return Days(day - timedelta(days=window), day)
