"""The audits of snapshots and groups: what they stop, and who then builds on it no more."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contracts import paths, suite_files
from contracts.days import Days
from contracts.errors import DamagedArtifact, MissingArtifact, QualityStop
from contracts.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Row = dict[str, Any]
Snapshot = Callable[[Settings, str], list[Row]]


def suite(settings: Settings, table: str, *rules: str) -> None:
    file = settings.landing_path / "suites" / f"{table}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("day:\n" + "".join(f"  - {{{rule}}}\n" for rule in rules))


def without_most_ads(world: Any, day: str) -> None:
    world.rows["ads"] = [row for row in world.rows["ads"] if row["day"] != day or row["ad_id"] in ("a1", "a2")]


def test_a_stop_keeps_others_from_building_and_an_edited_suite_frees_the_day(
    spark: SparkSession, settings: Settings, worlds: Any, snapshot: Snapshot
) -> None:
    from spark_jobs import audit_index, delta, features, groups, materialise

    world = worlds(days=6, impressions=15)
    bad, after = "2026-01-05", "2026-01-06"
    without_most_ads(world, bad)
    world.write(spark, settings)
    with pytest.raises(QualityStop) as stop:
        features.run(spark, settings, world.days)
    said = str(stop.value)
    for words in (f"stopped ad_features of {bad}", "enough_ads: observed ad_rows 2 (from 5.5)", "Data Docs: "):
        assert words in said
    assert len([row for row in snapshot(settings, "ad_features") if row["day"] == bad]) == 2, "it can be looked at"
    verdicts = {(row["day"], row["figure"]): row["verdict"] for row in snapshot(settings, "snapshot_figures")}
    assert {one for one, verdict in verdicts.items() if verdict == "stop"} == {(bad, "ad_rows")}
    pages = [page.parts for page in (paths.data_docs(settings) / "uncommitted").rglob("*.html")]
    assert any({"validations", "ad_features", "2026-01-01_to_2026-01-07"} <= set(parts) for parts in pages)
    index = paths.data_docs_index(settings).read_text()
    assert index.count(audit_index.SAID["stop"]) == 1, "of two suites, one stopped"

    for build in (lambda: materialise.run(spark, settings, Days.parse(bad)),
                  lambda: groups.run(spark, settings, Days.parse(after))):  # fmt: skip
        with pytest.raises(QualityStop, match=f"stopped ad_features of {bad}, so nothing is built on it: ad_rows 2"):
            build()
    assert not delta.built_days(settings, "ad_groups")

    suite(settings, "ad_features", "name: enough_ads, figure: ad_rows, at_least: 1, level: warn, words: one will do")
    freed = features.run(spark, settings, Days.parse(bad))
    assert not any("enough_ads" in remark for remark in freed.remarks)
    groups.run(spark, settings, Days.parse(after))


def test_a_snapshot_that_was_never_judged_is_not_built_on_until_the_next_run(
    spark: SparkSession, settings: Settings, worlds: Any, snapshot: Snapshot, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Killed between the tables and their figures: any later run makes up for it."""
    from spark_jobs import features, figure_table, groups, materialise

    world = worlds(days=4, impressions=15)
    other = settings.model_copy(update={"home": tmp_path / "other", "landing": settings.landing_path})
    for one in (settings, other):
        world.write(spark, one)
    features.run(spark, settings, world.days)
    groups.run(spark, settings, world.days)

    def killed(*given: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    def dies(run: Callable[..., Any], day: str) -> None:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(figure_table, "replace", killed)
            run(spark, other, Days.parse(day))

    dies(features.run, "2026-01-01")
    for build, day in ((materialise.run, "2026-01-01"), (groups.run, "2026-01-02")):
        with pytest.raises(MissingArtifact, match="no figures of 2026-01-01.*adlens features --start 2026-01-01"):
            build(spark, other, Days.parse(day))
    features.run(spark, other, Days.parse("2026-01-03", "2026-01-05"))
    features.run(spark, other, Days.parse("2026-01-02"))
    dies(groups.run, "2026-01-02")
    groups.run(spark, other, Days.parse("2026-01-03", "2026-01-05"))
    for table in ("snapshot_figures", "group_figures"):
        assert snapshot(other, table) == snapshot(settings, table), "of any order, as of a range"


def test_groups_unlike_the_log_stop(
    spark: SparkSession, settings: Settings, worlds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a bug makes them. If a run wrote the log meanwhile, this one is worth another try."""
    from spark_jobs import delta, derived_audit, features, groups

    world, text = worlds(days=2, impressions=20), "2026-01-02"
    world.write(spark, settings)
    features.run(spark, settings, world.days)
    log, real = delta.read(spark, settings, "impressions", [text]), derived_audit.OF_GROUPS

    def off(*given: Any) -> Any:
        known = real.measured(*given)
        return {day: one | {"ad_labels_off": replace(one["ad_labels_off"], value=2.0)} for day, one in known.items()}

    def off_of_another_log(*given: Any) -> Any:
        changed = log.withColumn("position", log["position"] + 1)
        delta.write_days(spark, settings, "impressions", changed, [text])
        return off(*given)

    for measured, error, words in (
        (off, QualityStop, f"stopped ad_groups of {text}.*as many labels of 1 as the log"),
        (off_of_another_log, DamagedArtifact, "table impressions: .* run the day again"),
    ):
        monkeypatch.setattr(groups, "OF_GROUPS", replace(real, measured=measured))
        with pytest.raises(error, match=words):
            groups.run(spark, settings, Days.parse(text))


def test_two_stages_share_the_pages_and_write_them_one_after_the_other(settings: Settings) -> None:
    """As two tasks of Airflow do. Neither replaces the other's results."""
    from spark_jobs.audit import LOCK, Auditor
    from spark_jobs.figures import Figure

    day = "2026-01-01"
    ads, users = (
        Auditor(settings, suite_files.derived(tables=[table], built=[]), table)
        for table in ("ad_features", "user_features")
    )
    with ThreadPoolExecutor(1) as pool:
        with open(paths.data_docs(settings) / LOCK, "w", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            waits = pool.submit(ads.audit, [day], {day: {"ad_rows": Figure(day, "ad_features", "ad_rows", 0.0)}})
            with pytest.raises(TimeoutError):
                waits.result(0.5)
        assert [one.rule for one in waits.result()] == ["snapshot_has_ads"]
    assert users.audit([day], {day: {"user_rows": Figure(day, "user_features", "user_rows", 1.0)}}) == []
    for one in (ads, users):
        one.write_docs()
    text = ads.docs.read_text(encoding="utf-8")
    assert all(f"validations/{table}/{day}/" in text for table in ("ad_features", "user_features"))


def test_an_audit_that_was_killed_before_its_pages_does_not_stop_later_ones(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old audits are forgotten, pages and results alike: the index reads the result of every page."""
    from spark_jobs import audit
    from spark_jobs.figures import Figure

    monkeypatch.setattr(audit, "KEPT_AUDITS", 2)
    one = audit.Auditor(settings, suite_files.derived(tables=["ad_features"], built=[]))
    for day in ("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"):
        one.audit([day], {day: {"ad_rows": Figure(day, "ad_features", "ad_rows", 1.0)}})
        if day != "2026-01-03":
            one.write_docs()
    text = one.docs.read_text(encoding="utf-8")
    assert [f"validations/ad_features/2026-01-0{n}/" in text for n in (1, 2, 3, 4)] == [False, False, False, True]
