"""Entities, sources, views and services, all built from contracts; imports no file of its own folder.

`feast apply` imports this file as a top-level module. Our jobs set ADLENS_FEAST_TABLES (root of the Delta tables),
ADLENS_FEAST_SETS (feature sets whose columns they hold), ADLENS_FEAST_TTL_SECONDS and ADLENS_FEAST_TIME_ZONE; where
they are not set, the settings of this process decide.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, OnDemandFeatureView, RequestSource, ValueType
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.table_format import DeltaFormat
from feast.types import Array, FeastType, Float32, Float64, String, UnixTimestamp

from contracts import paths
from contracts.features import FEATURE_SETS, FEATURES, Feature, built, feature_set, value_type
from contracts.settings import Settings, load
from contracts.tables import snapshot_tables

TYPES: dict[str, FeastType] = {
    "string": String,
    "double": Float64,
    "array<string>": Array(String),
    "array<float>": Array(Float32),
}
OWNER = "ads-ranking"
NOT_VALUES = ("day", "event_timestamp", "created")


def tables_root() -> str:
    """Root of the Delta tables, without a slash at its end."""
    return os.environ.get("ADLENS_FEAST_TABLES") or paths.table(load(), "").rstrip("/")


def time_to_live() -> timedelta:
    """A day plus the publication delay: until the next snapshot can be there, this one is the truth."""
    named = os.environ.get("ADLENS_FEAST_TTL_SECONDS")
    if named:
        return timedelta(seconds=int(named))
    return timedelta(days=1, minutes=load().publication_delay_minutes)


def features() -> tuple[Feature, ...]:
    """What the snapshot tables hold."""
    named = os.environ.get("ADLENS_FEAST_SETS")
    return built(Settings(feature_sets=named) if named else load())


def time_zone() -> str:
    """Business time zone: the hour of a request is its hour there."""
    return os.environ.get("ADLENS_FEAST_TIME_ZONE") or load().time_zone


def source(table: str, description: str) -> SparkSource:
    return SparkSource(
        name=table,
        path=f"{tables_root()}/{table}",
        table_format=DeltaFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
        description=description,
        owner=OWNER,
    )


def snapshot_view(table: str, entity: Entity, description: str) -> FeatureView:
    """The view over a snapshot table: its schema is the table's declaration, the entity's key included."""
    declared = snapshot_tables(features())[table]
    schema = [
        Field(name=c.name, dtype=TYPES[c.type], description=c.meaning)
        for c in declared.columns
        if c.name not in NOT_VALUES
    ]
    return FeatureView(
        name=table,
        entities=[entity],
        ttl=time_to_live(),
        schema=schema,
        source=source(table, description),
        online=True,
        description=description,
        owner=OWNER,
        tags={"writer": declared.writer, "cadence": "daily", "entity": entity.name},
    )


def entity(name: str, key: str, description: str) -> Entity:
    return Entity(name=name, join_keys=[key], value_type=ValueType.STRING, description=description, owner=OWNER)


user = entity("user", "user_id", "who sees the ad")
ad = entity("ad", "ad_id", "what is shown")

user_features = snapshot_view("user_features", user, "profile, history and CTR of a user at the end of a business day")
ad_features = snapshot_view("ad_features", ad, "catalogue entry, picture and CTR of an ad at the end of a business day")

# Written by the release's lookup-table step with deltalake; registered before the table is there, and not served from
# Feast: the predictor reads the bundle's mapped file.
visual_vectors = FeatureView(
    name="visual_vectors",
    entities=[ad],
    ttl=timedelta(0),  # until the next table replaces it
    schema=[
        Field(name="ad_id", dtype=String),
        Field(name="vector", dtype=Array(Float32), description="the ad's picture through the day's CNN, reduced"),
        Field(name="table_version", dtype=String, description="which table; vectors of one model only are comparable"),
    ],
    source=source("visual_table", "lookup table: ad -> visual vector"),
    online=False,
    description="visual vector of an ad, one row per ad and published day",
    owner=OWNER,
    tags={"writer": "release.lookup.lookup_table", "cadence": "daily", "entity": "ad"},
)


# What Feast keeps of a transformation is its text, which it runs again wherever the registry is read: so the text
# stands on its own, and the time zone is written into it. Columns come as lists, a moment as a datetime or in seconds.
CONTEXT_TEXT = """
def request_features(inputs):
    from datetime import UTC, datetime

    from contracts.features import FEATURES, context_values

    def moment(at):
        return at.replace(tzinfo=at.tzinfo or UTC) if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)

    asked = zip(inputs["shown_at"], inputs["query"], strict=True)
    made = [context_values(moment(shown_at), query, {zone!r}) for shown_at, query in asked]
    return {{f.name: [one[f.name] for one in made] for f in FEATURES if f.side == "context"}}
"""


def request_view() -> OnDemandFeatureView:
    """The features of the request itself, by contracts.features.context_values: the predictor's own function."""
    text = CONTEXT_TEXT.format(zone=time_zone())
    made: dict[str, Any] = {}
    exec(text, made)
    context = [f for f in FEATURES if f.side == "context"]
    return OnDemandFeatureView(
        name="request_features",
        sources=[
            RequestSource(
                name="request",
                schema=[
                    Field(name="shown_at", dtype=UnixTimestamp, description="when the ad is shown"),
                    Field(name="query", dtype=String, description="search words, null where the page is no search"),
                ],
                description="what only the request knows",
                owner=OWNER,
            )
        ],
        # Feast 0.67 refuses a described field here: it looks for the equal one in what a trial of the text gives.
        schema=[Field(name=f.name, dtype=TYPES[value_type(f)]) for f in context],
        udf=made["request_features"],
        udf_string=text,
        mode="python",
        description=f"of the request, in {time_zone()}: " + "; ".join(f"{f.name}: {f.description}" for f in context),
        owner=OWNER,
        tags={"writer": "the request", "cadence": "each request", "entity": "none"},
    )


request_features = request_view()


def service(name: str) -> FeatureService:
    """The feature service of a feature set, which a model names: its columns of the three views, and the picture.

    Left out: crosses (made from codes) and ids (they are the entities' keys).
    """
    keys = {"user_id", "ad_id"}

    def columns(side: str, features: tuple[Feature, ...]) -> list[str]:
        return [f.name for f in features if f.side == side and f.name not in keys]

    wanted = feature_set(name)
    chosen = [
        (user_features, columns("user", wanted)),
        (ad_features, [*columns("ad", wanted), "image"]),
        (request_features, columns("context", wanted)),
    ]
    return FeatureService(
        name=name,
        features=[view[names] for view, names in chosen if names],
        description=f"the features of set '{name}'",
        owner=OWNER,
        tags={"feature_set": name},
    )


BUILT = set(features())
services = [service(name) for name in FEATURE_SETS if set(feature_set(name)) <= BUILT]
globals().update({f"service_{one.name}": one for one in services})  # `feast apply` looks at a module's names only
OBJECTS = [user, ad, user_features, ad_features, visual_vectors, request_features, *services]
