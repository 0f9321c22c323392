"""Stage 2: what passes is published, what does not is not, and the message says why."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contracts import paths, suite_files
from contracts.days import Days
from contracts.errors import MissingArtifact, QualityStop
from contracts.settings import LandingSettings, Settings
from spark_jobs import delta, figure_table, figures, impressions, measures, quality
from spark_jobs.audit import Auditor

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
    spark: SparkSession,
    settings: Settings,
    landing: LandingFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
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
    assert "quarantined_share 0.09091 (up to 0.01)" in said  # 1 of 10 impressions and 1 click
    assert "max_value 0.01" in said
    assert "1 impressions: ad is in neither" in said
    assert str(paths.data_docs(settings)) in said
    known = figure_table.read(settings, days.texts())
    assert sorted(known) == ["2026-01-01", "2026-01-02", "2026-01-03"], "the refused day's figures are there to see"
    assert known["2026-01-03"]["quarantined_share"].verdict == "stop"

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
    assert known["2026-01-01"]["ctr"].value == 0.2, "the range had seen the late click"

    # Other days in another order end in the same figures: day 4 first, day 1 last.
    other = settings.model_copy(update={"home": tmp_path / "other"})
    from tests.spark.conftest import link_setup

    link_setup(other.home_path)
    for start, end in (("2026-01-03", "2026-01-05"), ("2026-01-01", "2026-01-03")):
        impressions.run(spark, other, Days.parse(start, end))
        quality.run(spark, other, Days.parse(start, end))
    assert figure_table.read(other, days.texts()) == figure_table.read(settings, days.texts())

    document = (Path(__file__).resolve().parents[2] / "docs" / "quality.md").read_text()
    query = re.findall(r"```python\n(.*?)```", document, re.DOTALL)[0]
    exec(query.replace(".adlens", str(settings.home_path)), {})
    assert "verdict" in capsys.readouterr().out, "the document's query runs"

    pages = list((paths.data_docs(settings) / "uncommitted" / "data_docs").rglob("*.html"))
    assert len(pages) > 2
    index = next(page for page in pages if page.name == "index.html")
    linked = {(index.parent / one).resolve() for one in re.findall(r'<a href="([^":]+)"', index.read_text())}
    assert linked >= {page.resolve() for page in pages} - {index.resolve()}, "the index leads to every page"
    for page in pages:
        text = page.read_text()
        assert "data-adlens" in text, page
        fetched = re.findall(r"(?:<link[^>]*href=|src=|url\()[\"']?(?:https?:)?//", text)
        assert not fetched, (page, fetched)


SUITES = suite_files.load()


def figures_of(counts: dict[str, dict[str, int]], settings: LandingSettings) -> figures.Known:
    """Days of nothing but these counts, judged in order."""
    known = {}
    for day, given in counts.items():
        by_part = {(what, 0): n for what, n in {"known_users": given["rows"], **given}.items()}
        known[day] = {one.figure: one for one in figures.measured(day, by_part, SUITES, settings)}
    return figures.judged(known, sorted(known), SUITES, settings)


STOPPING = [
    ({"rows": 10, "labels": 3}, set()),
    ({"rows": 10, "labels": 10}, {"ctr"}),
    ({"rows": 10, "labels": 0}, {"ctr"}),
    ({"rows": 2, "labels": 1}, {"rows"}),
    ({"rows": 30, "labels": 9}, {"rows"}),
    ({"rows": 0, "labels": 0}, {"rows", "ctr", "known_users"}),
    ({"rows": 10, "labels": 3, "known_users": 4}, {"known_users"}),
    ({"rows": 10, "labels": 3, "before": 1, "unknown_ads": 1}, {"unknown_ads"}),
    ({"rows": 10, "labels": 3, "broken_staged_ids_unique": 1}, {"broken_staged_ids_unique"}),
    ({"rows": 10, "labels": 3, "aside impressions: x": 1}, {"quarantined_share"}),
]
WEEK = {f"2026-01-0{n}": {"rows": 10, "labels": 3} for n in range(1, 4)}


@pytest.mark.parametrize(("given", "stopped"), STOPPING)
def test_what_stops_a_day(given: dict[str, int], stopped: set[str]) -> None:
    """Three days of 10 impressions and 3 clicks before it."""
    known = figures_of({**WEEK, "2026-01-04": given}, LandingSettings())
    assert {one.figure for one in known["2026-01-04"].values() if one.verdict == "stop"} == stopped


def test_great_expectations_says_the_same(settings: Settings) -> None:
    auditor = Auditor(settings, SUITES)
    for given, stopped in (STOPPING[0], STOPPING[2], STOPPING[5], STOPPING[8]):
        known = figures_of({**WEEK, "2026-01-04": given}, settings)
        failures = [one for one in auditor.audit(["2026-01-04"], known) if one.level == "stop"]
        assert {name for one in failures for name in one.columns if not name.startswith("bound of")} == stopped
    assert "a day has impressions (min_value 1)" not in {one.wanted for one in failures}
    assert {one.rule for one in failures} == {"staged_ids_unique"}


def test_rows_that_stage_1_would_never_write(spark: SparkSession) -> None:
    """Counts of a day written by hand, every one told on paper."""
    noon = dt.datetime(2026, 1, 1, 12)
    late, early = dt.datetime(2026, 1, 1, 14), dt.datetime(2025, 12, 31, 12)
    rows = [
        ("2026-01-01", "i1", noon, "u", "a", 0, None, 1, late),  # click two hours later
        ("2026-01-01", "i2", early, "u", "a", 0, None, 0, None),  # another day
        ("2026-01-01", "i3", noon, "u", "b", 0, None, 0, None),
        ("2026-01-01", "i3", noon, "u", "b", 0, None, 0, None),  # twice
        ("2026-01-01", "i4", noon, "v", "gone", None, None, 2, None),  # no label
        ("2026-01-01", "i5", noon, None, "old", 1, None, 0, None),
    ]
    catalogue = [
        ("2025-12-31", "old", "c1", "b", "s", 1.0, "t", 1, None),
        ("2026-01-01", "a", "c1", "b", "s", -1.0, "t", 1, "0" * 64),
        ("2026-01-01", "b", None, "b", "s", float("nan"), "t", 1, None),
    ]
    acted = [("2026-01-01", "u", ad, "view", noon) for ad in ("a", "a", "old")]
    clicks = [("2026-01-01", "i1", late, late), ("2026-01-01", "i9", noon, dt.datetime(2026, 1, 2))]
    given: dict[str, list[tuple[Any, ...]]] = {
        "impressions": rows,
        "ads": catalogue,
        "users": [("2026-01-01", "u", "25-34", "f", None, "low")],
        "behaviours": acted,
        "clicks": clicks,
        "quarantine": [
            ("2026-01-01", "clicks", "click without an impression", "{}", None, None),
            ("2026-01-01", "impressions", "impression_id is missing or empty", "{}", 3, None),
        ],
    }
    ddl = {name: delta.declaration(name).ddl.replace(" NOT NULL", "") for name in given}
    frames = {name: spark.createDataFrame(one, ddl[name]) for name, one in given.items()}
    counts = measures.counted(frames, SUITES, LandingSettings(), ["2026-01-01"])["2026-01-01"]
    known = {one.figure: one for one in figures.measured("2026-01-01", counts, SUITES, LandingSettings())}
    broken = {name.removeprefix("broken_") for name, one in known.items() if name.startswith("broken_") and one.value}
    assert broken == {
        "staged_click_in_window",
        "staged_ids_unique",
        "staged_label_is_binary",
        "staged_in_day",
        "staged_user",
        "click_landed_in_folder_day",
        "price_not_negative",
    }
    values = {name: known[name].value for name in ("unknown_ads", "known_users", "group_fill", "missing_pictures")}
    # 2 of 3 ads of the groups a, b, gone, old are known by a catalogue; 4 of 6 impressions are of u
    assert values == {"unknown_ads": 1, "known_users": 4 / 6, "group_fill": 6 / (4 * 25), "missing_pictures": 0.5}
    assert known["clicks_joined"].value == 0.5 and known["behaviours_known_ads"].value == pytest.approx(2 / 3)
    # 6 impressions, 2 clicks and 3 equal rows landed; a click that fits nothing landed once, not twice
    assert known["quarantined_share"].value == pytest.approx(4 / 11)
    assert known["shown_gap_minutes"].value == 12 * 60 and known["landed_gap_minutes"].value == 0
    category = known["drift_category_id"].buckets
    assert category is not None and (category[0], sum(category)) == (2, 4), "2 of ad b, which has none; 2 of ad a"
    position = known["drift_position"].buckets
    assert position is not None and (position[0], sorted(position)[-2:]) == (1, [1, 4])


def test_a_day_that_is_not_staged(spark: SparkSession, settings: Settings) -> None:
    with pytest.raises(MissingArtifact, match="2026-01-01 not staged; run stage 1 first"):
        quality.run(spark, settings, Days.parse("2026-01-01"))


def limits(counts: dict[str, dict[str, int]], day: str, settings: LandingSettings) -> dict[str, float | None]:
    known = figures_of(counts, settings)
    wanted = ("enough_impressions", "not_too_many_impressions", "ctr_not_low", "ctr_not_high")
    return {name: limit for name, limit in figures.bounds(known, day, SUITES, settings).items() if name in wanted}


def test_bounds() -> None:
    week = {f"2026-01-0{n}": {"rows": 100, "labels": 10} for n in range(1, 9)}
    week["2025-12-31"] = {"rows": 9, "labels": 9}
    assert limits(week, "2026-01-03", LandingSettings()) == {
        # days 1 and 2 and 31 December: 209 impressions, 29 clicks
        "enough_impressions": pytest.approx(209 / 3 / 2),
        "not_too_many_impressions": pytest.approx(209 / 3 * 2),
        "ctr_not_low": pytest.approx(29 / 209 / 2),
        "ctr_not_high": pytest.approx(29 / 209 * 2),
    }
    assert set(limits(week, "2026-01-02", LandingSettings()).values()) == {None}, "two days are no week"
    own = LandingSettings(min_rows=5, max_ctr=0.5)
    assert limits(week, "2026-01-08", own) == {
        "enough_impressions": 5,
        "not_too_many_impressions": 200,
        "ctr_not_low": pytest.approx(0.05),
        "ctr_not_high": 0.5,
    }


def test_drift() -> None:
    """PSI by hand: (0.5 - 0.25) ln 2 + (0.5 - 0.75) ln(2 / 3) = 0.17329 + 0.10137; an empty bucket counts as 0.0001."""
    assert figures.stability_index([10, 10], [25, 75]) == pytest.approx(0.274653, abs=1e-6)
    assert figures.stability_index([3, 1], [75, 25]) == 0
    assert figures.stability_index([1, 0], [0, 1]) == pytest.approx(2 * 0.9999 * 9.21034, rel=1e-5)
    days = [f"2026-01-0{n}" for n in range(1, 10)]
    drift = "drift_gender"
    known: figures.Known = {
        day: {drift: figures.Figure(day, "users", drift, None, 100, buckets=(50.0, 50.0))} for day in days
    }
    known[days[-1]] = {drift: figures.Figure(days[-1], "users", drift, None, 100, buckets=(1.0, 99.0))}
    judged = figures.judged(known, days, SUITES, LandingSettings())
    assert judged[days[2]][drift].value is None, "two days are no week"
    steady, moved = judged[days[7]][drift], judged[days[8]][drift]
    assert (steady.value, steady.verdict, steady.upper) == (0, "pass", pytest.approx(0.1))
    assert (moved.verdict, moved.level) == ("warn", "warn") and moved.value and moved.value > 1
