"""When a person or a DAG asked, for the log's readers. Only commands read the clock, and nothing chooses data by it."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
