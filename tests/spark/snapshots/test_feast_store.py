"""What is registered, and that it is what the code declares."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from contracts.features import FEATURES, context_values, feature_set
from contracts.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_what_is_registered(spark: SparkSession, settings: Settings) -> None:
    """Also with no table there yet; applied once, and again only when a definition or a setting changed."""
    from spark_jobs import feast_store

    opened = feast_store.store(spark, settings)
    views = {view.name: view for view in opened.list_feature_views()}
    assert set(views) == {"user_features", "ad_features", "visual_vectors"}
    (request,) = opened.list_on_demand_feature_views()
    assert [service.name for service in opened.list_feature_services()] == ["daily"]  # what the tables hold
    described = [*views.values(), request, *opened.list_feature_services()]
    assert all(one.owner and one.description and one.tags for one in described)
    assert all(one.owner and one.description for one in (opened.get_entity("user"), opened.get_entity("ad")))
    assert all(field.description for view in views.values() for field in view.features)
    assert views["ad_features"].ttl.total_seconds() == 86_400
    for service in opened.list_feature_services():
        named = {f"{p.name}:{f.name}" for p in service.feature_view_projections for f in p.features}
        sides = {"user": "user_features", "ad": "ad_features", "context": "request_features"}
        wanted = {
            f"{sides[f.side]}:{f.name}"
            for f in feature_set(service.name)
            if f.side in sides and f.name not in ("ad_id", "user_id")
        }
        assert named == wanted | {"ad_features:image"}
        assert not any("label" in name or "clicked" in name for name in named)
    assert feast_store.apply(opened, settings) is False
    slower = settings.model_copy(update={"publication_delay_minutes": 30})
    again = feast_store.store(spark, slower)
    assert again.get_feature_view("ad_features").ttl.total_seconds() == 86_400 + 1_800


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("ADLENS_FEAST_TTL_SECONDS", "90000", ["FeatureView ad_features: ttl", "FeatureView user_features: ttl"]),
        ("ADLENS_FEAST_TIME_ZONE", "Asia/Kathmandu", ["OnDemandFeatureView request_features"]),
    ],
)
def test_a_definition_that_changed_and_was_not_applied_is_named(
    spark: SparkSession,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    named: list[str],
) -> None:
    from spark_jobs import feast_store

    opened = feast_store.store(spark, settings)
    assert feast_store.differences(opened) == []
    monkeypatch.setenv(variable, value)
    assert [one for one in feast_store.differences(opened) if one.startswith(tuple(named))] == (
        feast_store.differences(opened)
    )
    assert len(feast_store.differences(opened)) == len(named)
    opened.delete_feature_service("daily")
    assert "FeatureService daily: not registered" in feast_store.differences(opened)


def test_request_features_of_a_service_online_and_historical(spark: SparkSession, settings: Settings) -> None:
    """By contracts' own function, in the business time zone; null and empty queries too."""
    from spark_jobs import delta, feast_store

    zone = "Asia/Kathmandu"
    settings = settings.model_copy(update={"time_zone": zone, "feature_sets": "production"})
    stamp = datetime(2026, 1, 7, 18, 15, tzinfo=UTC)
    for table, key in (("user_features", "user_id"), ("ad_features", "ad_id")):
        row = {"day": "2026-01-07", "event_timestamp": stamp, "created": stamp, key: "one", "region": "r", "price": 2.5}
        names = delta.declaration(table, settings).names()
        frame = spark.createDataFrame([tuple(row.get(c) for c in names)], delta.declaration(table, settings).ddl)
        delta.write_days(spark, settings, table, frame, ["2026-01-07"])
    opened = feast_store.store(spark, settings)
    asked = [
        (who, stamp + timedelta(hours=n), query)
        for n, (who, query) in enumerate([("one", "Red shoe"), ("nobody", None), ("one", ""), ("one", "é RED red")])
    ]
    wanted = {at: context_values(at, query, zone) for _, at, query in asked}
    names = [f.name for f in FEATURES if f.side == "context"]
    service = opened.get_feature_service("production")

    for rows in (asked, asked[1:2]):  # the second: a request without any query
        online = opened.get_online_features(
            features=service,
            entity_rows=[{"user_id": u, "ad_id": u, "shown_at": at, "query": query} for u, at, query in rows],
        ).to_dict()
        for name in names:
            assert online[name] == [wanted[at][name] for _, at, _ in rows], name

    entities = spark.createDataFrame(
        [(u, u, at, at, query) for u, at, query in asked],
        "user_id string, ad_id string, event_timestamp timestamp, shown_at timestamp, query string",
    )
    past = opened.get_historical_features(entity_df=entities, features=service).to_arrow().to_pylist()
    assert len(past) == len(asked)
    for row in past:
        at = row["event_timestamp"].replace(tzinfo=UTC)
        assert {name: row[name] for name in names} == {name: wanted[at][name] for name in names}
        assert (row["region"], row["price"]) == (("r", 2.5) if row["user_id"] == "one" else (None, None))
