"""Entities, sources, views and services, all built from contracts; imports no file of its own folder.

`feast apply` imports this file as a top-level module. ADLENS_FEAST_TABLES (root of the Delta tables),
ADLENS_FEAST_TTL_SECONDS and ADLENS_FEAST_SETS (feature sets whose columns they hold) are set by our jobs; where they
are not, the settings of this process decide.
"""

from __future__ import annotations

import os
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.table_format import DeltaFormat
from feast.types import Array, FeastType, Float32, Float64, String

from contracts import paths
from contracts.features import FEATURE_SETS, Feature, built, feature_set
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
    ],
    source=source("visual_table", "lookup table: ad -> visual vector"),
    online=False,
    description="visual vector of an ad, one row per ad and published day",
    owner=OWNER,
    tags={"writer": "release.lookup_table", "cadence": "daily", "entity": "ad"},
)


def service(name: str) -> FeatureService:
    """The feature service of a feature set: its columns of both views, and the picture's name beside them.

    Left out: crosses (made from codes), context (comes with the request), ids (they are the entities' keys).
    """
    views = {"user": user_features, "ad": ad_features}

    def columns(side: str, features: tuple[Feature, ...]) -> list[str]:
        keys = {"user_id", "ad_id"}
        return [f.name for f in features if f.side == side and f.name not in keys]

    wanted = feature_set(name)
    return FeatureService(
        name=name,
        features=[
            views["user"][columns("user", wanted)],
            views["ad"][[*columns("ad", wanted), "image"]],
        ],
        description=f"the features of set '{name}'",
        owner=OWNER,
        tags={"feature_set": name},
    )


BUILT = set(features())
services = [service(name) for name in FEATURE_SETS if set(feature_set(name)) <= BUILT]
globals().update({f"service_{one.name}": one for one in services})  # `feast apply` looks at a module's names only
OBJECTS = [user, ad, user_features, ad_features, visual_vectors, *services]
