"""Stage 2: what passes is published, what does not is not, and the message says why."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import pytest

from contracts import paths
from contracts.days import Days
from contracts.errors import MissingArtifact, QualityStop
from contracts.settings import LandingSettings, Settings
from spark_jobs import delta, figures, impressions, quality

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    LandingFolder = Any


def shown(day: int, rows: int, ad: str = "a") -> list[tuple[object, ...]]:
    noon = dt.datetime(2026, 1, day, 12, tzinfo=dt.UTC)
    return [(f"i{n}", noon, "u", ad, 0, None) for n in range(rows)]


def clicked(day: int, rows: int, landed: dt.datetime | None = None) -> list[tuple[object, ...]]:
    later = dt.datetime(2026, 1, day, 12, 5, tzinfo=dt.UTC)
    return [(f"i{n}", later, landed or later) for n in range(rows)]


def published(settings: Settings) -> list[str]:
    return sorted(delta.built_days(settings, "impressions"))


def test_a_range_is_published_up_to_the_first_bad_day(
    spark: SparkSession, settings: Settings, landing: LandingFolder
) -> None:
    landing.day("2026-01-01", impressions=shown(1, 10), clicks=clicked(1, 1))
    landing.day("2026-01-02", impressions=shown(2, 10), clicks=clicked(2, 1))
    landing.day("2026-01-03", impressions=[*shown(3, 9), ("x", *shown(3, 1, "unknown")[0][1:])], clicks=clicked(3, 1))
    late = clicked(1, 2, dt.datetime(2026, 1, 4, tzinfo=dt.UTC))
    landing.day("2026-01-04", impressions=shown(4, 10), clicks=clicked(4, 1) + late)
    days = Days.parse("2026-01-01", "2026-01-05")
    impressions.run(spark, settings, days)
    assert published(settings) == [], "staged rows are nobody's to read yet"

    with pytest.raises(QualityStop) as stop:
        quality.run(spark, settings, days)
    assert published(settings) == ["2026-01-01", "2026-01-02"]
    said = str(stop.value)
    assert "refused 2026-01-03" in said
    assert "quarantined_share 0.09091" in said  # 1 of 10 impressions and 1 click
    assert "max_value 0.01" in said
    assert "1 impressions: ad is in neither" in said
    assert str(paths.data_docs(settings)) in said

    # The landing folder is put right and the day run again.
    landing.day("2026-01-03", impressions=shown(3, 10), clicks=clicked(3, 1))
    again = Days.parse("2026-01-03", "2026-01-05")
    impressions.run(spark, settings, again)
    report = quality.run(spark, settings, again)
    assert published(settings) == [f"2026-01-0{n}" for n in range(1, 5)]
    first = delta.read(spark, settings, "impressions", ["2026-01-01"]).where("label = 1")
    assert sorted(row["impression_id"] for row in first.collect()) == ["i0", "i1"]

    before = {name: delta.version(settings, name) for name in report.versions}
    assert quality.run(spark, settings, again).versions == before, "the same days again commit nothing"

    pages = list((paths.data_docs(settings) / "uncommitted" / "data_docs").rglob("*.html"))
    assert len(pages) > 2
    index = next(page for page in pages if page.name == "index.html")
    linked = {(index.parent / one).resolve() for one in re.findall(r'<li><a href="([^":]+)"', index.read_text())}
    assert linked >= {page.resolve() for page in pages} - {index.resolve()}, "the index leads to every page"
    for page in pages:
        text = page.read_text()
        assert "data-adlens" in text, page
        fetched = re.findall(r"(?:<link[^>]*href=|src=|url\()[\"']?(?:https?:)?//", text)
        assert not fetched, (page, fetched)


@pytest.mark.parametrize(
    ("rows", "clicks", "wanted"),
    [
        (10, 10, "CTR not far above the trailing week's"),
        (10, 0, "CTR not far below the trailing week's"),
        (2, 1, "not far fewer impressions than in the trailing week"),
        (0, 0, "a day has impressions"),
    ],
)
def test_what_stops_a_day(
    spark: SparkSession, settings: Settings, rows: int, clicks: int, wanted: str
) -> None:
    """The suites on figures alone: three days of 10 impressions and 3 clicks before it."""
    from spark_jobs import suites
    from spark_jobs.audit import Auditor

    counted = {f"2026-01-0{n}": (10, 3) for n in range(1, 4)}
    day = figures.DayFigures(
        "2026-01-04",
        rows,
        clicks / rows if rows else 0.0,
        **figures.bounds("2026-01-04", counted, settings),
        quarantined_share=0.0,
        unknown_ads=0,
        known_users=1.0,
        repeated_ads=0,
        repeated_users=0,
    )
    none = spark.createDataFrame([], delta.declaration("impressions").ddl)
    frames = {
        suites.ROWS_SUITE: figures.audited_rows(none, settings),
        suites.DAYS_SUITE: figures.as_frame(spark, [day]),
    }
    failures = Auditor(settings).audit(Days.parse("2026-01-04"), frames)
    assert wanted in " ".join(failure.wanted for failure in failures)


def test_rows_that_stage_1_would_never_write(spark: SparkSession, settings: Settings) -> None:
    from spark_jobs import suites
    from spark_jobs.audit import Auditor

    noon = dt.datetime(2026, 1, 1, 12)
    late, early = dt.datetime(2026, 1, 1, 14), dt.datetime(2025, 12, 31, 12)
    rows = [
        ("2026-01-01", "i1", noon, "u", "a", 0, None, 1, late),  # click two hours later
        ("2026-01-01", "i2", early, "u", "a", 0, None, 0, None),  # another day
        ("2026-01-01", "i3", noon, "u", "a", 0, None, 0, None),
        ("2026-01-01", "i3", noon, "u", "a", 0, None, 0, None),  # twice
        ("2026-01-01", "i4", noon, "u", "a", 0, None, 2, None),  # no label
        ("2026-01-01", "i5", noon, None, "a", 0, None, 0, None),
    ]
    ddl = delta.declaration("impressions").ddl.replace(" NOT NULL", "")
    good = figures.DayFigures("2026-01-01", 6, 0.1, None, None, None, None, 0.0, None, 1.0, 0, 0)
    frames = {
        suites.ROWS_SUITE: figures.audited_rows(spark.createDataFrame(rows, ddl), settings),
        suites.DAYS_SUITE: figures.as_frame(spark, [good]),
    }
    failures = Auditor(settings).audit(Days.parse("2026-01-01"), frames)
    assert sorted(one.columns for one in failures) == [
        ("click_in_window",),
        ("day", "impression_id"),
        ("label",),
        ("shown_in_day",),
        ("user_id",),
    ]
    assert {one.suite for one in failures} == {suites.ROWS_SUITE}


def test_a_day_that_is_not_staged(spark: SparkSession, settings: Settings) -> None:
    with pytest.raises(MissingArtifact, match="2026-01-01 not staged; run stage 1 first"):
        quality.run(spark, settings, Days.parse("2026-01-01"))


def test_bounds() -> None:
    week = {f"2026-01-0{n}": (100, 10) for n in range(1, 8)} | {"2025-12-31": (9, 9)}
    none = dict.fromkeys(("min_rows", "max_rows", "min_ctr", "max_ctr"))
    assert figures.bounds("2026-01-03", week, LandingSettings()) == none | {
        # days 1 and 2 and 31 December: 209 impressions, 29 clicks
        "min_rows": pytest.approx(209 / 3 / 2),
        "max_rows": pytest.approx(209 / 3 * 2),
        "min_ctr": pytest.approx(29 / 209 / 2),
        "max_ctr": pytest.approx(29 / 209 * 2),
    }
    assert figures.bounds("2026-01-02", week, LandingSettings()) == none, "two days are no week"
    own = LandingSettings(min_rows=5, max_ctr=0.5)
    assert figures.bounds("2026-01-08", week, own) == {"min_rows": 5, "max_rows": 200, "min_ctr": 0.05, "max_ctr": 0.5}
