"""Stage 4: what an impression sees, against a plain equi-join in Python, and rule 3: nothing of its day or later."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import xxhash

from contracts.days import Days, day_start
from contracts.errors import MissingArtifact
from contracts.features import Feature, built, context_values
from contracts.hashing import code
from contracts.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Row = dict[str, Any]
GROUP_TABLES = ("ad_groups", "user_groups", "group_figures")


def oracle_code(feature: Any, value: Any) -> Any:
    if value is None or feature.kind == "numeric":
        return value
    if feature.kind in ("multi_hot", "sequence"):
        return [code(one) for one in value]
    return code(value)


def exploded(groups: list[Row]) -> dict[tuple[str, str], Row]:
    """(day, impression_id) -> the impression with its group's columns beside it."""
    rows: dict[tuple[str, str], Row] = {}
    for group in groups:
        outer = {name: value for name, value in group.items() if name not in ("impressions", "group_id")}
        for one in group["impressions"]:
            key = (group["day"], one["impression_id"])
            assert key not in rows, f"{key} is in two groups"
            rows[key] = outer | one
    return rows


def expected(
    world: Any, ads: list[Row], users: list[Row], features: Sequence[Feature], delay: timedelta
) -> dict[Any, Row]:
    """Every impression with the snapshot that was published last before it, by dictionary look-ups."""
    by_ad = {(row["day"], row["ad_id"]): row for row in ads}
    by_user = {(row["day"], row["user_id"]): row for row in users}
    first, rows = world.days.start, {}
    for one in world.rows["impressions"]:
        day = date.fromisoformat(one["day"])
        if day == first:
            continue
        back = 1 if one["shown_at"] >= day_start(day, "UTC") + delay else 2
        seen = (day - timedelta(days=back)).isoformat()
        ad = by_ad.get((seen, one["ad_id"]), {}) | {"ad_id": one["ad_id"]}
        user = by_user.get((seen, one["user_id"]), {}) | {"user_id": one["user_id"]}
        values = {"ad": ad, "user": user, "context": context_values(one["shown_at"], one["query"], "UTC")}
        row = {name: one[name] for name in ("day", "impression_id", "user_id", "ad_id", "position", "label")}
        row |= {"shown_at": one["shown_at"].replace(tzinfo=None), "image": ad.get("image")}
        row |= {f"c_{f.name}": oracle_code(f, values[f.side].get(f.name)) for f in features if f.side in values}
        rows[one["day"], one["impression_id"]] = row
    return rows


def _acted_after(row: Row, day: str) -> bool:
    """A behaviour of that day or later, whenever it landed."""
    return "at" in row and row["at"] >= datetime.fromisoformat(f"{day}T00:00:00+00:00")


@pytest.mark.parametrize(("delay", "sets"), [(0, "daily"), (300, "daily,production")])
def test_both_groupings_hold_every_impression_with_the_snapshot_before_it(
    spark: SparkSession, settings: Settings, worlds: Any, snapshot: Callable[[Settings, str], list[Row]], delay: int,
    sets: str,
) -> None:
    from spark_jobs import delta, features, groups

    settings = settings.model_copy(update={"publication_delay_minutes": delay, "feature_sets": sets})
    world = worlds(days=8, impressions=150)
    # The edges: the day's first moment, the moment of publication, and the last one of the day.
    edge = datetime(2026, 1, 7, tzinfo=UTC)
    shown = [edge, edge + timedelta(minutes=300), edge + timedelta(days=1, microseconds=-1)]
    on_day = [row for row in world.rows["impressions"] if row["day"] == "2026-01-07"]
    for row, at in zip(on_day, shown, strict=False):
        row["shown_at"] = at
    world.write(spark, settings)
    features.run(spark, settings, world.days)
    report = groups.run(spark, settings, world.days)
    assert "2026-01-01" in report.remarks[0]
    assert report.rows_in == 150 * 7
    ads, users = snapshot(settings, "ad_features"), snapshot(settings, "user_features")
    wanted = expected(world, ads, users, built(settings), timedelta(minutes=delay))
    ad_groups = snapshot(settings, "ad_groups")
    for table in ("ad_groups", "user_groups"):
        rows = exploded(snapshot(settings, table))
        assert rows.keys() == wanted.keys()
        for key, row in rows.items():
            assert row == wanted[key], (table, key)
    assert max(len(group["impressions"]) for group in ad_groups) <= 25
    # As few groups as can be; impressions that saw different snapshots share none, even where the values are equal.
    start = {one.isoformat(): day_start(one, "UTC").replace(tzinfo=None) for one in world.days}
    late = timedelta(minutes=delay)
    shown_ads = Counter((day, row["ad_id"], row["shown_at"] >= start[day] + late) for (day, _), row in wanted.items())
    assert len(ad_groups) == sum(-(-n // 25) for n in shown_ads.values())
    assert len({(group["day"], group["group_id"]) for group in ad_groups}) == len(ad_groups)
    versions = [delta.version(settings, table) for table in ("ad_groups", "user_groups")]
    groups.run(spark, settings, Days.parse("2026-01-05", "2026-01-06"))
    assert [delta.version(settings, table) for table in ("ad_groups", "user_groups")] == versions


@pytest.mark.parametrize("delay", [0, 300])
def test_groups_do_not_depend_on_how_the_work_was_dealt(
    spark: SparkSession, settings: Settings, worlds: Any, snapshot: Callable[[Settings, str], list[Row]],
    monkeypatch: pytest.MonkeyPatch, delay: int,
) -> None:  # fmt: skip
    """Broadcast or shuffled, one slice a day or many, heavy keys in salted pieces: the same groups, the same order."""
    from spark_jobs import delta, features, grouping, groups, skew, slices

    settings = settings.model_copy(
        update={"publication_delay_minutes": delay, "ad_group_size": 4, "user_group_size": 7}
    )
    world = worlds(days=3, impressions=120)
    for n, row in enumerate(world.rows["impressions"]):  # a hot ad and a hot user, which also meet
        row["ad_id"] = "a5" if n % 3 else row["ad_id"]
        row["user_id"] = "u1" if n % 4 else row["user_id"]
    world.write(spark, settings)
    features.run(spark, settings, world.days)
    groups.run(spark, settings, world.days)
    simple = {table: snapshot(settings, table) for table in ("ad_groups", "user_groups")}
    versions = {table: delta.version(settings, table) for table in simple}
    assert any(len(group["impressions"]) == 4 for group in simple["ad_groups"])
    order = [[one["impression_id"] for one in group["impressions"]] for group in simple["ad_groups"]]
    assert any(ids != sorted(ids) for ids in order)  # an order of hashes, not of ids

    monkeypatch.setattr(skew, "HEAVY_ROWS", 20)
    monkeypatch.setattr(slices, "SLICE_ROWS", 50)
    monkeypatch.setattr(groups, "SMALL_SIDE", 0)
    monkeypatch.setattr(grouping, "GROUPS_PER_TASK", 2)
    spark.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")
    try:
        again = groups.run(spark, settings, Days.parse("2026-01-01", "2026-01-04"))
    finally:
        spark.conf.unset("spark.sql.autoBroadcastJoinThreshold")
    assert again.rows_in == 240
    assert {table: snapshot(settings, table) for table in simple} == simple
    assert {table: delta.version(settings, table) for table in simple} == versions


def seeded(impression_id: str, seed: int) -> int:
    """XXH64 of the id, then of the seed's 8 bytes begun with that; signed, as Spark orders it."""
    first = xxhash.xxh64(impression_id.encode(), seed=42).intdigest()
    return int.from_bytes(xxhash.xxh64(struct.pack("<q", seed), seed=first).digest(), "big", signed=True)


def test_the_seed_decides_the_order_within_ad_groups_and_nothing_else(
    spark: SparkSession, settings: Settings, worlds: Any, snapshot: Callable[[Settings, str], list[Row]]
) -> None:
    """Another seed: other groups of the same rows, where days are written again. The same seed: the same groups."""
    from spark_jobs import delta, features, groups

    settings = settings.model_copy(update={"ad_group_size": 4})
    other = settings.model_copy(update={"seed": 7})
    world = worlds(days=3, impressions=60)
    for n, row in enumerate(world.rows["impressions"]):
        row["ad_id"] = "a5" if n % 3 else row["ad_id"]
    world.write(spark, settings)
    features.run(spark, settings, world.days)
    groups.run(spark, settings, world.days)

    def order(day: str) -> dict[str, list[str]]:
        """Ad -> ids through its groups, as they follow each other."""
        found: dict[str, list[str]] = {}
        of_day = [group for group in snapshot(settings, "ad_groups") if group["day"] == day]
        for group in sorted(of_day, key=lambda one: int(one["group_id"].rsplit("#", 1)[1])):
            found.setdefault(group["ad_id"], []).extend(one["impression_id"] for one in group["impressions"])
        return found

    def by_seed(ids: dict[str, list[str]], seed: int) -> dict[str, list[str]]:
        return {ad: sorted(some, key=lambda one: seeded(one, seed)) for ad, some in ids.items()}

    kept, last = order("2026-01-02"), order("2026-01-03")
    rows, users = exploded(snapshot(settings, "ad_groups")), snapshot(settings, "user_groups")
    assert kept == by_seed(kept, settings.seed) and last == by_seed(last, settings.seed)
    versions = [delta.version(settings, table) for table in ("ad_groups", "user_groups")]

    groups.run(spark, other, Days.parse("2026-01-03"))
    assert order("2026-01-03") == by_seed(last, 7) != last
    assert order("2026-01-02") == kept, "a day that is not written again keeps its order"
    assert exploded(snapshot(settings, "ad_groups")) == rows and snapshot(settings, "user_groups") == users
    assert delta.version(settings, "user_groups") == versions[1], "users' impressions are in the order shown"
    again = delta.version(settings, "ad_groups")
    groups.run(spark, other, Days.parse("2026-01-03"))
    assert delta.version(settings, "ad_groups") == again > versions[0]

    groups.run(spark, settings, Days.parse("2026-01-03"))
    assert order("2026-01-03") == last


def test_nothing_of_the_day_or_later_reaches_an_impression(
    spark: SparkSession, settings: Settings, tmp_path: Any, worlds: Any, snapshot: Callable[[Settings, str], list[Row]]
) -> None:
    """Labels, clicks, behaviours, catalogue and profiles of day D and later turned round: only D's labels differ.

    All features of both sets; pairs and crosses are made of these codes alone.
    """
    from spark_jobs import features, groups

    day = "2026-01-05"
    settings = settings.model_copy(update={"feature_sets": "daily,production"})
    world, turned = worlds(days=6, impressions=60), worlds(days=6, impressions=60)
    for name, rows in turned.rows.items():
        for row in rows:
            if row["day"] < day:
                continue
            if name == "impressions":
                row["label"] = 1 - row["label"]
            elif name == "ads":
                row |= {"category_id": "other", "price": 1e6, "title": "other", "image": "f" * 64}
            elif name == "users":
                row |= {"gender": "x", "age_band": "other"}
        if name in ("clicks", "behaviours"):
            turned.rows[name] = [row for row in rows if row["day"] < day and not _acted_after(row, day)]
    other = settings.model_copy(update={"home": tmp_path / "other"})
    found = []
    for one, data in ((settings, world), (other, turned)):
        data.write(spark, one)
        features.run(spark, one, data.days)
        groups.run(spark, one, Days.parse(day))
        found.append(exploded(snapshot(one, "ad_groups")))
    assert any(_acted_after(row, day) for row in world.rows["behaviours"] if row["day"] < day)
    left, right = found
    assert left.keys() == right.keys() and len(left) == 60
    for key, row in left.items():
        assert row["label"] == 1 - right[key]["label"]
        assert row | {"label": None} == right[key] | {"label": None}


def test_a_snapshot_that_should_be_there_and_is_not_stops(
    spark: SparkSession, settings: Settings, worlds: Any
) -> None:
    from spark_jobs import features, groups

    worlds(days=3, impressions=5).write(spark, settings)
    features.run(spark, settings, Days.parse("2026-01-01"))
    alone = groups.run(spark, settings, Days.parse("2026-01-01"))
    assert alone.rows_out == 0 and "no groups" in alone.remarks[0]
    with pytest.raises(MissingArtifact, match="2026-01-02"):
        groups.run(spark, settings, Days.parse("2026-01-01", "2026-01-04"))


def test_a_label_that_came_late_is_in_the_groups_before_the_next_training(
    spark: SparkSession, settings: Settings, worlds: Any, snapshot: Callable[[Settings, str], list[Row]]
) -> None:
    """Rule 1. The run of day 4 finds that day 2's labels are no longer those of its groups, and only they change."""
    from spark_jobs import delta, features, groups

    world, today = worlds(days=4, impressions=20), Days.parse("2026-01-04")
    world.write(spark, settings)
    features.run(spark, settings, world.days)
    groups.run(spark, settings, world.days)
    before = exploded(snapshot(settings, "ad_groups"))
    for row in world.rows["impressions"]:
        if row["day"] == "2026-01-02":
            row["label"] = 1 - row["label"]
    world.write(spark, settings)
    assert "2026-01-02 written again" in groups.run(spark, settings, today).remarks[0]
    for table in ("ad_groups", "user_groups"):
        after = exploded(snapshot(settings, table))
        for key, row in after.items():
            flipped = key[0] == "2026-01-02"
            assert row["label"] == (1 - before[key]["label"] if flipped else before[key]["label"])
    versions = [delta.version(settings, table) for table in GROUP_TABLES]
    assert not any("again" in one for one in groups.run(spark, settings, today).remarks)
    assert [delta.version(settings, table) for table in GROUP_TABLES] == versions
