"""Features are added to tables that hold a month of days, while a model that does not know them goes on serving."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from contracts import features as declarations
from contracts.days import Days
from contracts.feature import Feature, Transform
from contracts.features import FEATURE_SETS, context_values, feature_set
from contracts.hashing import code, words
from contracts.report import write
from contracts.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

START = Feature(
    "title_start", "Text", "ad", "multi_hot", "hash", 64, "first two words of the title", limit=2,
    source=("ads.title",), transform=Transform("words", "title"),
)  # fmt: skip
NEW = ("region", "weekday", "title_start")  # of a user, of the request, of an ad: the last is nobody's until now
LAST = "2026-01-05"


def before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


@pytest.fixture
def small(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a home whose tables were made before NEW was declared."""
    monkeypatch.setattr(declarations, "FEATURES", (*declarations.FEATURES, START))
    monkeypatch.setitem(declarations.BY_NAME, "title_start", START)
    monkeypatch.setitem(FEATURE_SETS, "small", tuple(name for name in FEATURE_SETS["daily"] if name not in NEW))
    monkeypatch.setitem(FEATURE_SETS, "wider", (*FEATURE_SETS["small"], *NEW))
    return settings.model_copy(update={"feature_sets": "small", "window_days": 2})


def champion(settings: Settings) -> dict[str, str]:
    """All that a served model of set `small` computes from: the codes of its own features for some ads and a user."""
    from serving.online_features import OnlineFeatures, code_columns

    own, ads = feature_set("small"), ["a1", "a3", "a5", "gone"]
    online = OnlineFeatures.open(settings)
    context = context_values(datetime(2026, 1, 6, 9, 30, tzinfo=UTC), "Red shoe", "UTC")
    columns = code_columns(own, online.user("u2", own), online.ads(ads, own), context, len(ads))
    return {name: repr((column.codes.tolist(), column.present.tolist())) for name, column in columns.items()}


def test_added_features_are_planned_built_and_served(
    spark: SparkSession, small: Settings, worlds: Any, snapshot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serving.online_features import OnlineFeatures
    from spark_jobs import delta, feast_store, feature_apply, feature_plan, features, groups, materialise

    world = worlds(days=5, impressions=12)
    world.write(spark, small)
    write(small, features.run(spark, small, world.days).model_copy(update={"seconds": 30.0}))
    groups.run(spark, small, Days.parse("2026-01-02", "2026-01-06"))
    materialise.run(spark, small, Days.parse(LAST))
    assert feature_plan.make(small).lacks == ()
    told = champion(small)
    old = {table: snapshot(small, table) for table in feature_plan.SNAPSHOTS}
    assert "region" not in old["user_features"][0]

    wide = small.model_copy(update={"feature_sets": "small,wider"})
    plan = feature_plan.make(wide)
    lacks = {lack.table: lack for lack in plan.lacks}
    assert {table: lack.columns for table, lack in lacks.items()} == {
        "user_features": ("region",),
        "ad_features": ("title_start",),
        "user_groups": ("c_region", "impressions.element.c_title_start", "impressions.element.c_weekday"),
        "ad_groups": ("c_title_start", "impressions.element.c_region", "impressions.element.c_weekday"),
    }
    assert plan.groups == ("2026-01-03", "2026-01-04", LAST)  # the newest and the window of two days before it
    assert plan.snapshots == ("2026-01-02", "2026-01-03", "2026-01-04", LAST)  # what they see, and what is served
    assert plan.reads_from == "2025-12-27"
    of_users = [row for row in old["user_features"] if row["day"] in plan.snapshots]
    assert sum(rows for rows, _ in lacks["user_features"].days.values()) == len(of_users)
    assert all(size > 0 for lack in plan.lacks for _, size in lack.days.values())
    planned = sum(rows for lack in plan.lacks for rows, _ in lack.days.values() if lack.table in feature_plan.SNAPSHOTS)
    every = sum(map(len, old.values()))
    assert plan.seconds == {"3-features": pytest.approx(30.0 * planned / every)}
    assert {t: delta.version(wide, t) for t in lacks} == {t: delta.version(small, t) for t in lacks}
    assert champion(small) == told

    run = groups.run

    def killed(*given: Any) -> None:
        assert champion(small) == told  # snapshots are new, groups and the online store not yet
        raise KeyboardInterrupt

    monkeypatch.setattr(groups, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        feature_apply.apply(spark, wide)
    monkeypatch.setattr(groups, "run", run)
    left = feature_plan.make(wide)
    assert left.snapshots == () and left.groups == plan.groups  # it goes on where it was
    feature_apply.apply(spark, wide)
    assert feature_plan.make(wide).lacks == ()
    assert feast_store.differences(feast_store.store(spark, wide)) == []
    assert champion(small) == told == champion(wide)

    versions = {table: delta.version(wide, table) for table in lacks}
    assert feature_apply.apply(spark, wide).lacks == ()
    assert {table: delta.version(wide, table) for table in lacks} == versions

    followed = {(row["day"], row["figure"]): row["level"] for row in snapshot(wide, "snapshot_figures")}
    added = {one: level for one, level in followed.items() if one[1] == "drift_region"}
    assert added == {(day, "drift_region"): "warn" for day in plan.snapshots}, "no suite names it"

    regions = {(row["day"], row["user_id"]): row["region"] for row in world.rows["users"]}
    starts = {(row["day"], row["ad_id"]): words(row["title"], 2) for row in world.rows["ads"]}
    for table, key, name, landed in (
        ("user_features", "user_id", "region", regions),
        ("ad_features", "ad_id", "title_start", starts),
    ):
        new = snapshot(wide, table)
        assert [{k: v for k, v in row.items() if k != name} for row in new] == old[table]  # a snapshot never changes
        wanted = [landed[row["day"], row[key]] if row["day"] in plan.snapshots else None for row in new]
        assert [row[name] for row in new] == wanted
    shown = [
        (group, one) for group in snapshot(wide, "ad_groups") if group["day"] in plan.groups
        for one in group["impressions"]
    ]  # fmt: skip
    assert len(shown) == sum(row["day"] in plan.groups for row in world.rows["impressions"])
    for group, one in shown:
        assert one["c_region"] == code(regions.get((before(group["day"]), one["user_id"])))
        known = starts.get((before(group["day"]), group["ad_id"]))
        assert group["c_title_start"] == (None if known is None else [code(word) for word in known])
        assert one["c_weekday"] == code(str(one["shown_at"].isoweekday()))
    online = OnlineFeatures.open(wide)
    assert online.user("u1", feature_set("wider"))["region"] == regions[LAST, "u1"]
    assert online.ads(["a4", "gone"], feature_set("wider"))["title_start"] == [starts[LAST, "a4"], None]


def test_a_column_that_is_null_in_every_row_is_built_once(
    spark: SparkSession, small: Settings, worlds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For it no file is written again, so that a note says that it was built."""
    from spark_jobs import feature_apply, feature_plan, features

    world = worlds(days=1, impressions=3)
    for row in world.rows["users"]:
        row["region"] = None
    world.write(spark, small)
    features.run(spark, small, world.days)
    wide = small.model_copy(update={"feature_sets": "wider"})
    assert feature_plan.make(wide).snapshots == ("2026-01-01",)
    feature_apply.apply(spark, wide)
    assert feature_plan.make(wide).lacks == ()
    note = json.loads((wide.home_path / "feast" / feature_plan.EMPTY).read_text(encoding="utf-8"))
    assert note == {"user_features": {"2026-01-01": ["region"]}}


def test_the_command(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """In words, without Spark and before there are tables; other words are the stage's."""
    from spark_jobs import feature_commands

    monkeypatch.setenv("ADLENS_HOME", str(settings.home_path))
    monkeypatch.setenv("ADLENS_LANDING", str(settings.landing_path))
    assert feature_commands.main(["plan"]) == 0
    assert "nothing to build" in capsys.readouterr().out
    assert feature_commands.main(["list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in FEATURE_SETS["daily"])
    monkeypatch.setenv("ADLENS_FEATURE_SETS", "no such set")
    assert feature_commands.main(["plan"]) == 6
    with pytest.raises(SystemExit):
        feature_commands.main(["--end", "2026-01-01"])  # the stage wants --start
    assert "--start" in capsys.readouterr().err
