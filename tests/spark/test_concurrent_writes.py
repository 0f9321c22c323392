"""Runs that write the same table at once: both end well, and of one day stands what one of them wrote."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

from contracts.settings import Settings
from spark_jobs import delta

if TYPE_CHECKING:
    import pytest
    from pyspark.sql import SparkSession

COLUMNS = "day string, user_id string, age_band string, gender string, region string, price_sensitivity string"
WRITERS = 2


def at_once(spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch, days: list[str]) -> list[int]:
    """Writer n writes `days[n]` with its own age band, all meeting between the look and the commit. Versions after."""
    met, overwrite, first = Barrier(len(days)), delta._overwrite, iter(days)

    def together(*args: Any) -> None:
        if next(first, None):  # what a conflict makes necessary is no meeting
            met.wait(60)
        overwrite(*args)

    monkeypatch.setattr(delta, "_overwrite", together)

    def write(n: int) -> int:
        frame = spark.createDataFrame([(days[n], f"u{k}", f"writer {n}", None, None, None) for k in range(3)], COLUMNS)
        return delta.write_days(spark, settings, "users", frame, [days[n]]).version

    with ThreadPoolExecutor(len(days)) as pool:
        return list(pool.map(write, range(len(days))))


def bands(spark: SparkSession, settings: Settings, day: str) -> list[str]:
    return sorted(row["age_band"] for row in delta.read(spark, settings, "users", [day]).collect())


def test_writers_of_different_days(spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the table itself is made by all of them at once."""
    days = [f"2026-01-0{n + 1}" for n in range(WRITERS)]
    at_once(spark, settings, monkeypatch, days)
    assert [bands(spark, settings, day) for day in days] == [[f"writer {n}"] * 3 for n in range(WRITERS)]


def test_writers_of_the_same_day(spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    delta.write_days(spark, settings, "users", spark.createDataFrame([], COLUMNS), ["2026-01-01"])  # makes the table
    at_once(spark, settings, monkeypatch, ["2026-01-01"] * WRITERS)
    left = bands(spark, settings, "2026-01-01")
    assert left in [[f"writer {n}"] * 3 for n in range(WRITERS)], "rows of two writers stand side by side"
