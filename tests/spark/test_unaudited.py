"""A run publishes labels of older days and set-aside clicks of newer ones, and nothing else of them: what landed again
and was refused, or was refused at its first landing, is in no published table until its folder passes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contracts.days import Days
from contracts.errors import QualityStop
from contracts.settings import Settings
from spark_jobs import delta, impressions, quality

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from contracts.report import StageReport

    LandingFolder = Any

Row = tuple[object, ...]
TABLES = ("impressions", "clicks", "behaviours", "ads", "users", "quarantine")


def at(day: int, minute: int = 0) -> dt.datetime:
    return dt.datetime(2026, 1, day, 12, minute, tzinfo=dt.UTC)


def shown(day: int, rows: int = 10, query: str | None = None) -> list[Row]:
    return [(f"d{day}-{n}", at(day), "u", "a", n, query) for n in range(rows)]


def clicked(day: int, which: Sequence[int], landed: int | None = None) -> list[Row]:
    return [(f"d{day}-{n}", at(day, 5), at(landed or day, 6)) for n in which]


def land(landing: LandingFolder, day: int, clicks: list[Row], rows: list[Row] | None = None) -> None:
    landing.day(f"2026-01-0{day}", impressions=shown(day) if rows is None else rows, clicks=clicks)


def run(spark: SparkSession, settings: Settings, first: int, last: int | None = None) -> StageReport:
    days = Days.parse(f"2026-01-0{first}", f"2026-01-0{(last or first) + 1}")
    impressions.run(spark, settings, days)
    return quality.run(spark, settings, days)


def refused(spark: SparkSession, settings: Settings, day: int) -> None:
    with pytest.raises(QualityStop, match=f"refused 2026-01-0{day}"):
        run(spark, settings, day)


def rows(spark: SparkSession, settings: Settings, table: str, day: int | None = None) -> list[str]:
    days = None if day is None else [f"2026-01-0{day}"]
    return sorted(map(str, delta.read(spark, settings, table, days).collect()))


def tables(spark: SparkSession, settings: Settings, day: int) -> dict[str, list[str]]:
    return {name: rows(spark, settings, name, day) for name in TABLES}


def labels(spark: SparkSession, settings: Settings, day: int) -> list[str]:
    clicked = delta.read(spark, settings, "impressions", [f"2026-01-0{day}"]).where("label = 1").collect()
    return sorted(row["impression_id"] for row in clicked)


@pytest.fixture
def bounded(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_ctr": 0.5, "min_ctr": 0.0, "min_rows": 1, "max_rows": 100})


def test_what_landed_again_stays_out_until_its_folder_passes(
    spark: SparkSession, bounded: Settings, landing: LandingFolder, tmp_path: Path
) -> None:
    land(landing, 1, clicked(1, [0]))
    land(landing, 2, clicked(2, [0]) + clicked(1, [1], landed=2))
    land(landing, 3, clicked(3, [0]) + clicked(1, [2], landed=3) + clicked(2, [2], landed=3))
    run(spark, bounded, 1)
    assert "left as published" not in " ".join(run(spark, bounded, 2).remarks), "a late click alone waits for nothing"
    assert labels(spark, bounded, 1) == ["d1-0", "d1-1"]
    before = tables(spark, bounded, 1)

    land(landing, 1, clicked(1, [0]), [*shown(1, 9, "garbage"), ("x", at(1), "u", "nobody's ad", 0, None)])
    refused(spark, bounded, 1)
    report = run(spark, bounded, 3)
    assert tables(spark, bounded, 1) == before
    assert [one for one in report.remarks if "left as published" in one] == [
        "left as published: 2026-01-01; rows of folder 2026-01-01 are staged that no audit has passed. "
        "Once that folder is right: `adlens impressions --start 2026-01-01` and `adlens quality --start 2026-01-01`"
    ]
    assert labels(spark, bounded, 2) == ["d2-0", "d2-2"], "another day's late clicks go on"

    land(landing, 1, clicked(1, range(10)))  # the same impressions, each of them clicked; no audit sees it
    impressions.run(spark, bounded, Days.parse("2026-01-01"))
    quality.run(spark, bounded, Days.parse("2026-01-03"))
    assert tables(spark, bounded, 1) == before

    land(landing, 1, clicked(1, [0]))
    run(spark, bounded, 1)
    undisturbed = bounded.model_copy(update={"home": tmp_path / "other"})
    from tests.spark.conftest import link_setup

    link_setup(undisturbed.home_path)
    run(spark, undisturbed, 1, 3)
    for name in (*TABLES, "quality_figures"):
        assert rows(spark, bounded, name) == rows(spark, undisturbed, name), name


def test_clicks_of_a_refused_folder_label_no_older_day(
    spark: SparkSession, bounded: Settings, landing: LandingFolder
) -> None:
    """Day 2 is refused when it first lands; run 3 must not bring its late clicks to day 1."""
    land(landing, 1, clicked(1, [0]))
    land(landing, 2, clicked(2, range(10)) + clicked(1, [7], landed=2))
    land(landing, 3, clicked(3, [0]) + clicked(1, [2], landed=3))
    run(spark, bounded, 1)
    refused(spark, bounded, 2)
    report = run(spark, bounded, 3)
    assert labels(spark, bounded, 1) == ["d1-0"]
    assert "left as published: 2026-01-01; rows of folder 2026-01-02 are staged" in " ".join(report.remarks)

    land(landing, 2, clicked(2, [0]))
    run(spark, bounded, 2)
    assert labels(spark, bounded, 1) == ["d1-0", "d1-2"], "the late click of folder 3 shows once folder 2 is right"


def test_rows_set_aside_of_a_newer_day_stay_out_until_it_passes(
    spark: SparkSession, bounded: Settings, landing: LandingFolder
) -> None:
    """Day 1 is built after day 2 landed again, unaudited; a click of folder 2 that waited for day 1 is judged."""
    land(landing, 1, clicked(1, [0]))
    land(landing, 2, clicked(2, [0]) + clicked(1, [11], landed=2))
    impressions.run(spark, bounded, Days.parse("2026-01-02"))
    quality.run(spark, bounded, Days.parse("2026-01-02"))
    land(landing, 2, clicked(2, [0]), [*shown(2, 5), *((f"x{n}", at(2), "u", "gone", 0, None) for n in range(5))])
    impressions.run(spark, bounded, Days.parse("2026-01-02"))
    report = run(spark, bounded, 1)
    assert rows(spark, bounded, "quarantine", 2) == []
    assert "left as published: 2026-01-02; rows of folder 2026-01-02" in " ".join(report.remarks)
