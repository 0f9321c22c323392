"""Rows set aside, listed, shown and put back: the tables are then those of a folder that had landed right."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adlens import quarantine
from benchmarks.faults.boundaries import Killed, killed_after
from contracts import quarantined
from contracts.days import Days
from contracts.errors import InputError, QualityStop
from contracts.settings import Settings
from spark_jobs import delta, features, impressions, quality, release_rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    LandingFolder = Any

DAYS = Days.parse("2026-01-01", "2026-01-04")
TWO = "2026-01-02"
TOO_OLD = "behaviour lies more than 31 days before its folder's day"


def at(day: int, minute: int = 0) -> dt.datetime:
    return dt.datetime(2026, 1, day, 12, minute, tzinfo=dt.UTC)


def fill(landing: LandingFolder, right: bool) -> None:
    """Three days; on the second an impression of the wrong day, a click of it, a misspelt kind and an old behaviour."""
    for day in (1, 2, 3):
        shown = [(f"i{n}", at(day), "u", "a", n, None) for n in range(5)]
        clicks = [("i0", at(day, 5), at(day, 6))]
        acted = [("u", "a", "view", at(day))]
        if day == 2:
            shown.append(("lost", at(2) if right else at(3), "u", "a", 1, "shoes"))
            clicks.append(("lost", at(2, 7), at(2, 8)))
            acted.append(("u", "a", "cart" if right else "cartt", at(2)))
            acted.append(("u", "a", "order", dt.datetime(2025, 11, 1, tzinfo=dt.UTC)))
        landing.day(f"2026-01-0{day}", impressions=shown, clicks=clicks, behaviours=acted)
    if right:  # the old behaviour, too
        (landing.root / "suites").mkdir()
        rule = "name: behaviour_not_far_before, holds: not_null, column: at, level: ignore, words: none"
        (landing.root / "suites" / "behaviours.yaml").write_text(f"rows: [{{{rule}}}]\n")


def build(spark: SparkSession, settings: Settings) -> None:
    for stage in (impressions, quality, features):
        stage.run(spark, settings, DAYS)


def tables(spark: SparkSession, settings: Settings) -> dict[str, list[str]]:
    names = ("impressions", "clicks", "behaviours", "quarantine", "user_features", "ad_features", "quality_figures")
    return {name: sorted(map(str, delta.read(spark, settings, name).collect())) for name in names}


@pytest.fixture
def home(spark: SparkSession, settings: Settings, landing: LandingFolder) -> Settings:
    fill(landing, right=False)
    loose = settings.model_copy(update={"max_quarantined_share": 0.5})
    build(spark, loose)
    return loose


def refusals(home: Settings, file: Path) -> None:
    """What is refused before Spark starts."""
    for text, said in (
        ("{", "line 1 is no JSON"),
        ('{"id": "x"}', 'line 1: wanted {"id": ..., "row"'),
        ('{"id": "x", "row": {}}', f"no row x is set aside on {TWO}"),
        ('{"id": "x", "row": {}}\n{"id": "x", "row": {}}', "line 2: the row x is there twice"),
    ):
        file.write_text(text)
        with pytest.raises(InputError) as caught:
            quarantine.mended(home, TWO, file, "why")
        assert said in str(caught.value)
    with pytest.raises(InputError, match="only these rules can be waived: click landed before it was clicked"):
        quarantine.as_they_are(home, TWO, None, "click without an impression", "why")
    with pytest.raises(InputError, match="no row of 2026-01-01 was set aside for `nothing`"):
        quarantine.as_they_are(home, "2026-01-01", None, "nothing", "why")


def test_rows_put_back(spark: SparkSession, home: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quarantined.counts(home, [TWO]) == [
        (TWO, "behaviours", TOO_OLD, 1),
        (TWO, "behaviours", "kind is none of view, cart, favourite, order", 1),
        (TWO, "clicks", "click without an impression", 1),
        (TWO, "impressions", "shown_at is not in the folder's business day", 1),
    ]
    lines = [json.loads(one.as_json()) for one in quarantined.each(home, TWO)]
    lost = next(line for line in lines if line["source"] == "impressions")
    kind = next(line for line in lines if line["row"].get("kind") == "cartt")
    file = tmp_path / "mended.jsonl"
    before = tables(spark, home)

    refusals(home, file)
    # Rows that are still wrong: nothing changes, and the reasons are told.
    still = {**lost, "row": {**lost["row"], "shown_at": at(2).isoformat(), "impression_id": "i1"}}
    nobody = {**kind, "row": {**kind["row"], "kind": "kiss"}}
    file.write_text("".join(json.dumps(line) + "\n" for line in (still, nobody)))
    with pytest.raises(InputError, match=f"{kind['id']} .behaviours.: kind is none of.*another row has the same id"):
        release_rows.release(spark, home, TWO, quarantine.mended(home, TWO, file, "clock"))
    assert tables(spark, home) == before

    mended = [
        {"id": lost["id"], "row": {**lost["row"], "shown_at": "2026-01-02T13:00:00+01:00"}},
        {"id": kind["id"], "row": {**kind["row"], "kind": "cart"}},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in mended))
    rows = quarantine.mended(home, TWO, file, "the phone's clock was a day ahead")
    old = quarantine.as_they_are(home, TWO, "behaviours", TOO_OLD, "imported history")
    capsys.readouterr()
    reports = release_rows.release(spark, home, TWO, rows + old)
    assert "no longer set aside: 1 clicks: click without an impression" in capsys.readouterr().out
    assert [report.day for report in reports] == [TWO, TWO, "2026-01-03"], "the day, and the snapshots that look on it"

    right = home.model_copy(update={"home": tmp_path / "right", "landing": tmp_path / "right-landing"})
    from tests.spark.conftest import LandingFolder as Folder
    from tests.spark.conftest import link_setup

    link_setup(right.home_path)
    fill(Folder(right.landing_path), right=True)
    build(spark, right)
    assert tables(spark, home) == tables(spark, right)

    # The same again commits nothing.
    versions = {name: delta.version(home, name) for name in ("released", "impressions", "behaviours", "user_features")}
    again = quarantine.mended(home, TWO, file, "twice") + quarantine.as_they_are(home, TWO, None, TOO_OLD, "twice")
    release_rows.release(spark, home, TWO, again)
    assert {name: delta.version(home, name) for name in versions} == versions


def test_a_release_that_was_killed_or_refused_is_undone(spark: SparkSession, home: Settings, tmp_path: Path) -> None:
    strict = home.model_copy(update={"max_ctr": 0.3})  # the lost impression and its click make 2 of 6
    quality.run(spark, strict, DAYS)
    file, before = tmp_path / "mended.jsonl", tables(spark, strict)
    lost = json.loads(next(quarantined.each(strict, TWO, "impressions")).as_json())

    def release(**changed: str) -> None:
        file.write_text(json.dumps({**lost, "row": {**lost["row"], **changed}}))
        release_rows.release(spark, strict, TWO, quarantine.mended(strict, TWO, file, "clock"))

    # Its id is that of another row, which is set aside for it: killed once it is in `released`, and after stage 1.
    earlier = {"impression_id": "i4", "shown_at": "2026-01-02T00:00:00+00:00"}
    for commits in (1, 2):
        with pytest.raises(Killed), killed_after(commits):
            release(**earlier)
    assert [one.row for one in release_rows.kept(spark, strict, TWO)] == [json.dumps({**lost["row"], **earlier})]
    with pytest.raises(
        InputError, match="nothing is released.* 1 other rows of impressions would be set aside: another"
    ):
        release(**earlier)
    assert release_rows.kept(spark, strict, TWO) == [] and tables(spark, strict) == before

    # Stage 1 takes it, and the audit refuses the day that it makes.
    with pytest.raises(QualityStop, match=f"nothing is released into {TWO}: the audit refused {TWO}.*ctr"):
        release(shown_at=at(2).isoformat())
    assert release_rows.kept(spark, strict, TWO) == [] and tables(spark, strict) == before
    assert quarantined.counts(strict, [TWO]) == quarantined.counts(strict, [TWO], staged=False)
