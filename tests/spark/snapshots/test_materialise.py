"""The online store equals the snapshot for every entity and feature, never goes back, and a half load is no day."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from contracts.days import Days
from contracts.errors import MissingArtifact, QualityStop
from contracts.features import built, context_values, feature_set
from contracts.hashing import code
from contracts.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Row = dict[str, Any]
Snapshot = Callable[[Settings, str], list[Row]]


def missing_as_none(value: Any) -> Any:
    return None if value == [] else value  # Feast's stores do not tell an empty list from none; codes do not either


def expect_equal(settings: Settings, snapshot: Snapshot, day: str) -> None:
    """Every built feature of every entity that any day knew, through the predictor's own reader."""
    from serving.online_features import OnlineFeatures

    online, own = OnlineFeatures.open(settings), built(settings)
    assert online.day == day
    of_ads, of_users = snapshot(settings, "ad_features"), snapshot(settings, "user_features")
    ads = {row["ad_id"]: row for row in of_ads if row["day"] == day}
    users = {row["user_id"]: row for row in of_users if row["day"] == day}
    assert ads and users
    ids = sorted({row["ad_id"] for row in of_ads} | {"never seen"})
    served = online.ads(ids, own)
    for name in [f.name for f in own if f.side == "ad"] + ["image"]:
        wanted = [ads[i][name] if i in ads else (i if name == "ad_id" else None) for i in ids]
        assert [missing_as_none(v) for v in served[name]] == [missing_as_none(v) for v in wanted], name
    for one in sorted({row["user_id"] for row in of_users} | {"nobody"}):
        values = online.user(one, own)
        assert set(values) == {f.name for f in own if f.side == "user"}
        for name, value in values.items():
            wanted = one if name == "user_id" else users.get(one, {}).get(name)
            assert missing_as_none(value) == missing_as_none(wanted), (one, name)


def test_online_equals_the_newest_snapshot_also_after_a_backfill_and_late_clicks(
    spark: SparkSession, settings: Settings, worlds: Any, snapshot: Snapshot
) -> None:
    from serving.online_features import OnlineFeatures, code_columns
    from spark_jobs import features, materialise

    settings = settings.model_copy(update={"feature_sets": "production"})  # all 95
    # Clicks land up to four days late; ad a0 leaves, a11 enters, some values are null.
    world, own = worlds(days=8), feature_set("production")
    world.write(spark, settings)
    features.run(spark, settings, Days.parse("2026-01-04", "2026-01-08"))
    with pytest.raises(MissingArtifact, match="materialise"):
        OnlineFeatures.open(settings)
    materialise.run(spark, settings, Days.parse("2026-01-06"))
    materialise.run(spark, settings, Days.parse("2026-01-05", "2026-01-08"))  # of a range, its last day
    expect_equal(settings, snapshot, "2026-01-07")
    features.run(spark, settings, Days.parse("2026-01-03"))  # a backfill
    back = materialise.run(spark, settings, Days.parse("2026-01-03"))
    assert "2026-01-07" in back.remarks[-1] and back.rows_out == 0
    expect_equal(settings, snapshot, "2026-01-07")
    late = [row for row in world.rows["clicks"] if row["day"] == "2026-01-08"]
    assert any(row["clicked_at"].date() < date(2026, 1, 8) for row in late)
    features.run(spark, settings, Days.parse("2026-01-08"))
    done = materialise.run(spark, settings, Days.parse("2026-01-08"))
    assert done.rows_out == done.rows_in > 0
    assert "Feast's are equal" in done.remarks[0]
    expect_equal(settings, snapshot, "2026-01-08")

    online = OnlineFeatures.open(settings)
    context = context_values(datetime(2026, 1, 8, 9, 30, tzinfo=UTC), "Red shoe", "UTC")
    ids = ["a1", "a0", "never seen"]  # a0 left the catalogue after having been materialised
    columns = code_columns(own, online.user("u1", own), online.ads(ids, own), context, len(ids))
    assert set(columns) == {f.name for f in own if not f.of}
    assert set(online.ads(["a1"])) == {f.name for f in feature_set("daily") if f.side == "ad"} | {"image"}
    assert all(len(column.codes) == len(ids) for column in columns.values())
    np.testing.assert_array_equal(columns["ad_id"].codes, [code(i) for i in ids])
    np.testing.assert_array_equal(columns["hour"].codes, [code("9")] * len(ids))
    assert not columns["price"].present[-1] and not columns["title_words"].present[-1].any()
    assert code_columns(own, online.user("u1", own), online.ads([], own), context, 0)["hour"].codes.shape == (0,)


def put(settings: Settings, table: str, rows: list[Row]) -> None:
    """Rows of a declared table as Arrow, without Spark."""
    import pyarrow as pa
    from deltalake import write_deltalake

    from spark_jobs import delta

    kinds = {"string": pa.string(), "double": pa.float64(), "int": pa.int32(), "array<string>": pa.list_(pa.string())}
    moment = pa.timestamp("us", "UTC")
    schema = pa.schema([(c.name, kinds.get(c.type, moment)) for c in delta.declaration(table, settings).columns])
    write_deltalake(delta.address(settings, table), pa.Table.from_pylist(rows, schema), partition_by=["day"])


@pytest.fixture
def loaded(spark: SparkSession, settings: Settings) -> Settings:
    """A home with snapshots of 1, 2 and 3 January, the second loaded. Ad a1 leaves on the 3rd; user u2 is all null."""
    from spark_jobs import materialise

    of_users: list[Row] = []
    of_ads: list[Row] = []
    shown: list[Row] = []
    for n in (1, 2, 3):
        day, stamp = f"2026-01-0{n}", datetime(2026, 1, n + 1, tzinfo=UTC)
        stamped = {"day": day, "event_timestamp": stamp, "created": stamp}
        of_users += [
            {**stamped, "user_id": "u1", "region": f"r{n}", "user_ctr_7d": n / 7, "recent_categories": [f"c{n}", "c"]},
            {**stamped, "user_id": "u2"},
            {**stamped, "user_id": "u3", "region": "r", "recent_categories": []},
        ]
        of_ads += [{**stamped, "ad_id": f"a{i}", "price": n + i / 10} for i in (1, 2) if n < 3 or i > 1]
        shown += [
            {"day": day, "impression_id": f"i{u}{a}", "shown_at": stamp - timedelta(hours=3), "user_id": u, "ad_id": a}
            for u in ("u1", "u2", "u3", "nobody")
            for a in ("a1", "a2", "never seen")
        ]
    put(settings, "user_features", of_users)
    put(settings, "ad_features", of_ads)
    put(settings, "impressions", [{**row, "label": 0} for row in shown])
    materialise.run(spark, settings, Days.parse("2026-01-02"))
    return settings


def test_a_load_that_was_killed_half_way_is_no_day_and_no_older_day_goes_over_it(
    spark: SparkSession, loaded: Settings, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serving.online_features import OnlineFeatures
    from spark_jobs import materialise

    write = materialise.write

    def killed(opened: Any, view: str, batch: Any) -> None:
        if view == "ad_features":
            raise KeyboardInterrupt
        write(opened, view, batch)

    monkeypatch.setattr(materialise, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        materialise.run(spark, loaded, Days.parse("2026-01-03"))
    monkeypatch.undo()
    assert OnlineFeatures.open(loaded).day == "2026-01-02"
    older = materialise.run(spark, loaded, Days.parse("2026-01-02"))
    assert "load of 2026-01-03 began" in older.remarks[-1] and older.rows_out == 0
    materialise.run(spark, loaded, Days.parse("2026-01-03"))
    expect_equal(loaded, snapshot, "2026-01-03")
    assert "already serves 2026-01-03" in materialise.run(spark, loaded, Days.parse("2026-01-02")).remarks[-1]
    program = (
        "import sys; from contracts.settings import Settings; from serving.online_features import OnlineFeatures\n"
        f"online = OnlineFeatures.open(Settings(home={str(loaded.home_path)!r}))\n"
        "print(online.ads(['a2', 'a1'])['price'], online.user('u1')['region'], 'pyspark' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[3.2, None] r3 False"  # reading online starts no Spark


def test_a_planted_difference_stops_the_day(
    spark: SparkSession, loaded: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the join that training reads, and in the online store; the day is then not named as served."""
    from pyspark.sql import functions as F

    from serving.online_features import OnlineFeatures
    from spark_jobs import materialise, point_in_time

    known, write = point_in_time.known, materialise.write

    def other_region(*given: Any) -> Any:
        found = known(*given)
        one = F.when(F.col("user_id") == "u3", "elsewhere") if "region" in found.columns else None
        return found if one is None else found.withColumn("region", F.coalesce(one, "region"))

    monkeypatch.setattr(point_in_time, "known", other_region)
    with pytest.raises(QualityStop, match="user_features, feature region: 1 of .* u3 .*'elsewhere'"):
        materialise.run(spark, loaded, Days.parse("2026-01-03"))
    monkeypatch.setattr(point_in_time, "known", lambda *given: known(*given).where("false"))
    with pytest.raises(QualityStop, match="user_features, feature"):  # an answer that is not there is a difference too
        materialise.run(spark, loaded, Days.parse("2026-01-03"))
    monkeypatch.setattr(point_in_time, "known", lambda *given: known(*given).union(known(*given)))
    with pytest.raises(QualityStop, match="rows for"):
        materialise.run(spark, loaded, Days.parse("2026-01-03"))
    monkeypatch.setattr(point_in_time, "known", known)

    def dearer(opened: Any, view: str, batch: Any) -> None:
        import pyarrow as pa

        at = batch.schema.get_field_index("price")
        write(opened, view, batch if at < 0 else batch.set_column(at, "price", pa.array([7.5] * batch.num_rows)))

    monkeypatch.setattr(materialise, "write", dearer)
    with pytest.raises(QualityStop, match="ad_features, feature price: .* online 7.5"):
        materialise.run(spark, loaded, Days.parse("2026-01-03"))
    assert OnlineFeatures.open(loaded).day == "2026-01-02"


def test_sparks_engine_by_setting(spark: SparkSession, loaded: Settings, snapshot: Snapshot) -> None:
    from spark_jobs import materialise

    by_spark = loaded.model_copy(update={"feast_engine": "spark.engine"})
    materialise.run(spark, by_spark, Days.parse("2026-01-03"))
    expect_equal(by_spark, snapshot, "2026-01-03")


def test_a_snapshot_is_read_in_batches(settings: Settings) -> None:
    """Also one file with one row group: no batch is longer than the bound, and every row comes once."""
    import pyarrow as pa
    from deltalake import write_deltalake

    from spark_jobs import delta, snapshot_rows

    n = 2 * snapshot_rows.BATCH_ROWS + 3
    stamp = pa.array([datetime(2026, 1, 2, tzinfo=UTC)] * n, pa.timestamp("us", "UTC"))
    columns: dict[str, Any] = {"day": ["2026-01-01"] * n, "event_timestamp": stamp, "created": stamp}
    columns["user_id"] = [f"u{i}" for i in range(n)]
    columns |= {c: pa.nulls(n, pa.string()) for c in ("age_band", "gender", "region", "price_sensitivity")}
    columns |= {"user_ctr_7d": [0.5] * n, "recent_categories": [["c1"]] * n}
    where = delta.address(settings, "user_features")
    write_deltalake(where, pa.table(columns), partition_by=["day"])
    other = pa.table(columns).set_column(0, "day", pa.array(["2026-01-02"] * n))
    write_deltalake(where, other, mode="append")

    day = date(2026, 1, 1)
    read = list(snapshot_rows.batches(settings, "user_features", day))
    assert max(batch.num_rows for batch in read) <= snapshot_rows.BATCH_ROWS
    assert sorted(u for batch in read for u in batch["user_id"].to_pylist()) == sorted(columns["user_id"])
    assert snapshot_rows.count(settings, "user_features", day) == n
    held = snapshot_rows.of_keys(settings, "user_features", day, "user_id", ["u1", "nobody"])
    assert list(held) == ["u1"] and held["u1"]["recent_categories"] == ["c1"]


@pytest.mark.parametrize(("person", "rows", "shown"), [(True, 50_000, True), (False, 50_000, False), (True, 10, False)])
def test_a_bar_for_a_person_who_waits(person: bool, rows: int, shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from spark_jobs import feast_store, materialise

    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: person, raising=False)
    monkeypatch.setattr(sys, "stderr", screen)
    with materialise.bar(rows) as advance, feast_store.quiet():
        advance(rows)
    assert ("online store" in screen.getvalue()) is shown


def test_a_day_after_the_clocks_change_is_not_compared(spark: SparkSession, settings: Settings) -> None:
    """Feast's ttl is a number of hours. In New York, 8 March 2026 has 23 of them."""
    from spark_jobs import feast_check, feast_store

    there = settings.model_copy(update={"time_zone": "America/New_York"})
    opened = feast_store.store(spark, there)
    said = [feast_check.training(spark, there, opened, date(2026, 3, day), {}) for day in (8, 9, 10)]
    assert ["23:00:00 hours" in one for one in said] == [False, True, False]
