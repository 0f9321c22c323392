"""What is registered, what is served online, and that serving it needs no Spark."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from contracts.days import Days
from contracts.errors import MissingArtifact
from contracts.features import context_values, feature_set
from contracts.hashing import code
from contracts.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Row = dict[str, Any]


def missing_as_none(value: Any) -> Any:
    return None if value == [] else value  # Feast's stores do not tell an empty list from none; codes do not either


def test_online_values_equal_the_newest_snapshot_and_never_go_back(
    spark: SparkSession, settings: Settings, worlds: Any, snapshot: Callable[[Settings, str], list[Row]]
) -> None:
    from serving.online_features import OnlineFeatures, code_columns
    from spark_jobs import feast_store, features

    world, own = worlds(days=7), feature_set("production")
    settings = settings.model_copy(update={"feature_sets": "production"})
    world.write(spark, settings)
    features.run(spark, settings, world.days)
    with pytest.raises(MissingArtifact, match="materialise"):
        OnlineFeatures.open(settings)
    feast_store.run(spark, settings, Days.parse("2026-01-06"))
    feast_store.run(spark, settings, Days.parse("2026-01-03", "2026-01-08"))  # of a range, its last day
    back = feast_store.run(spark, settings, Days.parse("2026-01-05"))
    assert "2026-01-07" in back.remarks[0] and back.rows_out == 0
    again = feast_store.run(spark, settings, Days.parse("2026-01-07"))
    assert again.rows_out == again.rows_in > 0

    online = OnlineFeatures.open(settings)
    assert online.day == "2026-01-07"
    ads = {row["ad_id"]: row for row in snapshot(settings, "ad_features") if row["day"] == "2026-01-07"}
    users = {row["user_id"]: row for row in snapshot(settings, "user_features") if row["day"] == "2026-01-07"}
    ids = [*ads, "a0", "never seen"]  # a0 left the catalogue after having been materialised
    assert "a0" not in ads
    served = online.ads(ids, own)
    for name in [f.name for f in own if f.side == "ad"] + ["image"]:
        wanted = [ads[i][name] if i in ads else (i if name == "ad_id" else None) for i in ids]
        assert [missing_as_none(v) for v in served[name]] == [missing_as_none(v) for v in wanted], name
    for one in [*users, "nobody"]:
        found = online.user(one, own)
        assert set(found) == {f.name for f in own if f.side == "user"}
        for name, value in found.items():
            wanted = one if name == "user_id" else users.get(one, {}).get(name)
            assert missing_as_none(value) == missing_as_none(wanted), (one, name)

    context = context_values(datetime(2026, 1, 8, 9, 30, tzinfo=UTC), "Red shoe", "UTC")
    columns = code_columns(own, online.user("u1", own), served, context, len(ids))
    assert set(columns) == {f.name for f in own if not f.of}
    assert set(online.ads(["a1"])) == {f.name for f in feature_set("daily") if f.side == "ad"} | {"image"}
    assert all(len(column.codes) == len(ids) for column in columns.values())
    np.testing.assert_array_equal(columns["ad_id"].codes, [code(i) for i in ids])
    np.testing.assert_array_equal(columns["hour"].codes, [code("9")] * len(ids))
    assert not columns["price"].present[-1] and not columns["title_words"].present[-1].any()
    assert code_columns(own, online.user("u1", own), online.ads([], own), context, 0)["hour"].codes.shape == (0,)


def test_what_is_registered(spark: SparkSession, settings: Settings) -> None:
    """Also with no table there yet; applied once, and again only when a definition or a setting changed."""
    from spark_jobs import feast_store

    opened = feast_store.store(spark, settings)
    views = {view.name: view for view in opened.list_feature_views()}
    assert set(views) == {"user_features", "ad_features", "visual_vectors"}
    assert [service.name for service in opened.list_feature_services()] == ["daily"]  # what the tables hold
    assert all(view.owner and view.description and view.tags for view in views.values())
    assert views["ad_features"].ttl.total_seconds() == 86_400
    (daily,) = opened.list_feature_services()
    named = {f"{p.name}:{f.name}" for p in daily.feature_view_projections for f in p.features}
    assert {"user_features:age_band", "ad_features:price", "ad_features:image"} <= named
    assert not any("label" in name or "clicked" in name for name in named)
    assert feast_store.apply(opened, settings) is False
    slower = settings.model_copy(update={"publication_delay_minutes": 30})
    again = feast_store.store(spark, slower)
    assert again.get_feature_view("ad_features").ttl.total_seconds() == 86_400 + 1_800


def test_reading_online_starts_no_spark(spark: SparkSession, settings: Settings, worlds: Any) -> None:
    from spark_jobs import feast_store, features

    world = worlds(days=1, impressions=5)
    world.write(spark, settings)
    features.run(spark, settings, world.days)
    feast_store.run(spark, settings, world.days)
    program = (
        "import sys; from contracts.settings import Settings; from serving.online_features import OnlineFeatures\n"
        f"online = OnlineFeatures.open(Settings(home={str(settings.home_path)!r}))\n"
        "print(online.ads(['a1'])['brand_id'], online.user('u1')['gender'], 'pyspark' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "['b1'] f False"
