"""DESIGN's rule 1: labels are mature, and the tables do not depend on how the days were run."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contracts.days import Days
from contracts.errors import DamagedArtifact
from contracts.settings import Settings
from spark_jobs import cleaning, delta, impressions, labels, pictures

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    LandingFolder = Any

TABLES = ("impressions", "clicks", "behaviours", "ads", "users", "quarantine")


def at(text: str) -> dt.datetime:
    """`1 10:05` -> 2026-01-01 10:05 UTC."""
    day, clock = text.split()
    return dt.datetime.fromisoformat(f"2026-01-{int(day):02}T{clock}:00+00:00")


def five_days(landing: LandingFolder) -> None:
    """Impressions on days 1 to 5, clicks that land late. Attribution 60 min, grace 60 min, lateness 3 days."""
    clicks = {
        1: [("e", at("1 10:05"), at("1 10:06"))],
        2: [
            ("early", at("2 00:20"), at("2 01:59")),  # before run 1 starts (day 2, 02:00): counts for it
            ("onstart", at("2 00:20"), at("2 02:00")),  # not before: only run 2 sees it
            ("e", at("1 10:02"), at("2 03:00")),  # lands later, but is the earlier click
        ],
        4: [
            ("late", at("1 10:30"), at("4 09:00")),  # three days late: still counts
            ("last", at("4 10:10"), at("4 10:11")),
        ],
        5: [("toolate", at("1 10:30"), at("5 09:00"))],  # four days late
    }
    shown = {
        1: [
            ("e", at("1 10:00"), "u", "a", 0, None),
            ("early", at("1 23:50"), "u", "a", 0, None),
            ("onstart", at("1 23:50"), "u", "a", 0, None),
            ("late", at("1 10:00"), "u", "a", 0, None),
            ("toolate", at("1 10:00"), "u", "a", 0, None),
        ],
        4: [("last", at("4 10:00"), "u", "a", 0, None)],
    }
    for day in range(1, 6):
        own = [("same", at(f"{day} 12:00"), "u", "a", 0, None)]  # ids are unique within a day only
        text = f"2026-01-{day:02}"
        click = [("same", at("3 12:30"), at("3 12:31"))] if day == 3 else []
        landing.day(text, impressions=shown.get(day, []) + own, clicks=clicks.get(day, []) + click)


def run(spark: SparkSession, settings: Settings, first: int, last: int | None = None) -> Any:
    end = f"2026-01-{(last or first) + 1:02}"
    return impressions.run(spark, settings, Days.parse(f"2026-01-{first:02}", end))


def contents(spark: SparkSession, settings: Settings) -> dict[str, list[str]]:
    """Table -> its rows as text, sorted."""
    return {
        name: sorted(str(tuple(row)) for row in delta.read(spark, settings, name, staged=True).collect())
        for name in TABLES
    }


def labels_of(spark: SparkSession, settings: Settings, day: int) -> dict[str, tuple[int, str | None]]:
    rows = delta.read(spark, settings, "impressions", [f"2026-01-{day:02}"], staged=True).collect()
    return {
        row["impression_id"]: (row["label"], row["clicked_at"] and f"{row['clicked_at']:%H:%M}") for row in rows
    }


def versions(settings: Settings) -> dict[str, int]:
    return {name: delta.version(settings, name, staged=True) for name in TABLES}


def test_a_label_matures(spark: SparkSession, settings: Settings, landing: LandingFolder) -> None:
    five_days(landing)
    none = (0, None)

    run(spark, settings, 1)
    want = {"e": (1, "10:05"), "early": (1, "00:20"), "onstart": none, "late": none, "toolate": none, "same": none}
    assert labels_of(spark, settings, 1) == want

    run(spark, settings, 2)
    want |= {"e": (1, "10:02"), "onstart": (1, "00:20")}
    assert labels_of(spark, settings, 1) == want

    before = versions(settings)
    run(spark, settings, 2)
    assert versions(settings) == before, "the same day again commits nothing"

    run(spark, settings, 4)  # day 3 is not there yet: its click on `same` is of no other day's impression
    want |= {"late": (1, "10:30")}
    assert labels_of(spark, settings, 1) == want

    said = run(spark, settings, 5)
    assert labels_of(spark, settings, 1) == want
    assert said.counts[f"clicks: {labels.LATE}"] == 1
    assert labels_of(spark, settings, 2) == {"same": none}


def killed(spark: SparkSession, settings: Settings, first: int, last: int) -> None:
    """A run that dies before its last commit, with every other table already written."""
    real = delta.write_days

    def dying(spark: SparkSession, settings: Settings, name: str, *rest: Any, **more: Any) -> delta.WriteResult:
        if name == "impressions":
            raise KeyboardInterrupt
        return real(spark, settings, name, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delta, "write_days", dying)
        with pytest.raises(KeyboardInterrupt):
            run(spark, settings, first, last)


def test_any_way_leads_to_the_same_tables(
    spark: SparkSession, settings: Settings, landing: LandingFolder, tmp_path: Path
) -> None:
    five_days(landing)
    at_once, backwards, mixed = (
        settings.model_copy(update={"tables": str(tmp_path / name)}) for name in ("at-once", "backwards", "mixed")
    )
    run(spark, at_once, 1, 5)
    wanted = contents(spark, at_once)

    for first, last in ((5, 5), (2, 4), (1, 1)):
        run(spark, backwards, first, last)
    assert contents(spark, backwards) == wanted

    killed(spark, mixed, 1, 3)
    run(spark, mixed, 4, 5)
    run(spark, mixed, 1, 3)
    assert contents(spark, mixed) == wanted


def test_a_large_log_is_handled_otherwise_and_leads_to_the_same_tables(
    spark: SparkSession, settings: Settings, landing: LandingFolder, tmp_path: Path
) -> None:
    """Not cached; where clicks, ads, repeated rows and pictures are many, not broadcast and not the driver's either."""
    five_days(landing)
    twice = [("e", at(f"3 {hour}:00"), "u", "a", 0, None) for hour in ("10", "10", "09", "09")]
    pictured = {"a": landing.picture(), "absent": "0" * 64}
    catalogue = [(name, "c", "b", "s", 1.0, "shoes", 3, pictured[name]) for name in ("a", "absent", "a")]
    clicks = [("e", at("3 09:30"), at("3 09:31"))] * 2 + [("late", at("1 10:30"), at("3 09:00"))]
    landing.day("2026-01-03", impressions=twice, clicks=clicks, ads=catalogue)
    many = ((impressions, "FEW_CLICKS"), (impressions, "SMALL_CATALOGUES"), (cleaning, "FEW"), (pictures, "FEW"))
    found = {}
    for name, limits in {"small": (), "uncached": ((impressions, "FEW_ROWS"),), "dealt": many}.items():
        own = settings.model_copy(update={"tables": str(tmp_path / name)})
        with pytest.MonkeyPatch.context() as patch:
            for module, limit in limits:
                patch.setattr(module, limit, -1)
            run(spark, own, 1, 2)
            said = run(spark, own, 3)
        found[name] = (contents(spark, own), said.counts)
    counts = found["small"][1]
    assert counts["copies_clicks"] == counts["copies_impressions"] == counts["copies_ads"] == 1
    assert counts[f"impressions: {cleaning.SAME_ID}"] == 2, "neither of the equal rows is a copy of the one that stays"
    assert counts[f"images: {pictures.MISSING}"] == 1
    assert found["small"] == found["uncached"] == found["dealt"]


def test_a_folder_that_lands_again_while_it_is_read(
    settings: Settings, landing: LandingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    five_days(landing)
    file = settings.landing_path / "day=2026-01-02" / "clicks.parquet"
    monkeypatch.setattr(impressions, "_ingest", lambda *_: file.write_bytes(file.read_bytes() + b"more"))
    with pytest.raises(DamagedArtifact, match="day=2026-01-02/clicks.parquet landed again while it was read"):
        run(None, settings, 2)


def test_a_click_waits_for_its_day(spark: SparkSession, settings: Settings, landing: LandingFolder) -> None:
    landing.day("2026-01-01", impressions=[("x", at("1 23:50"), "u", "a", 0, None)])
    landing.day(
        "2026-01-02",
        impressions=[("y", at("2 10:00"), "u", "a", 0, None)],
        clicks=[("x", at("2 00:10"), at("2 08:00")), ("gone", at("2 00:10"), at("2 08:00"))],
    )
    run(spark, settings, 2)
    assert contents(spark, settings)["quarantine"] == [], "both may belong to day 1, which is not built yet"
    run(spark, settings, 1)
    assert labels_of(spark, settings, 1) == {"x": (1, "00:10")}
    refused = delta.read(spark, settings, "quarantine", staged=True).collect()
    assert [(row["day"], row["reason"]) for row in refused] == [("2026-01-02", labels.ORPHAN)]
