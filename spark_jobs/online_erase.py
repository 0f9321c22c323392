"""Removing a person from Feast's online store. Feast 0.67 has no call for one entity (only for a whole table), so the
entity's key is made by Feast's own encoder and deleted where its SQLite and Redis stores keep it."""

from __future__ import annotations

import contextlib
import io
import sqlite3
from pathlib import Path
from typing import Any

import yaml

from contracts import paths
from contracts.errors import PrerequisiteError
from contracts.settings import Settings

ENTITY, KEY = "user", "user_id"


def erase(settings: Settings, user_id: str) -> int:
    """Number of stored values removed; 0 where there is no online store. Raises PrerequisiteError for a store of
    another kind."""
    configuration = paths.feature_store(settings) / "online.yaml"
    if not configuration.is_file():
        return 0
    with contextlib.redirect_stdout(io.StringIO()):
        from feast import FeatureStore
        from feast.infra.online_stores.helpers import compute_table_id
        from feast.repo_config import RepoConfig

        store = FeatureStore(config=RepoConfig(**yaml.safe_load(configuration.read_text(encoding="utf-8"))))
    config: Any = store.config
    kind, key = config.online_store.type, serialized(user_id, config.entity_key_serialization_version)
    if kind == "sqlite":
        versioned = config.registry.enable_online_feature_view_versioning
        views = [view for view in store.list_feature_views() if ENTITY in view.entities]
        tables = [compute_table_id(config.project, view, versioned) for view in views]
        return _from_sqlite(Path(config.online_store.path), tables, key)
    if kind == "redis":
        from feast.infra.online_stores.redis import RedisOnlineStore

        client: Any = RedisOnlineStore()._get_client(config.online_store)
        return from_redis(client, config.project, key)
    raise PrerequisiteError(
        f"the online store is of type {kind}; adlens erase knows sqlite and redis. Delete the values of "
        f"{KEY} there by its own means, then run the same command again with a store that it knows"
    )


def serialized(user_id: str, version: int) -> bytes:
    """Feast's key of the user."""
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    named = EntityKey(join_keys=[KEY], entity_values=[Value(string_val=user_id)])
    return serialize_entity_key(named, entity_key_serialization_version=version)


def from_redis(client: Any, project: str, key: bytes) -> int:
    """One hash holds all views' values of an entity, under its key and the project's name."""
    return int(client.delete(key + project.encode()))


def _from_sqlite(file: Path, tables: list[str], key: bytes) -> int:
    """Deletes, and where something was deleted writes the file anew, so that no free page keeps an old value."""
    if not file.is_file():
        return 0
    with contextlib.closing(sqlite3.connect(file, timeout=60)) as connection:
        there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        removed = 0
        for table in tables:
            if table in there:
                quoted = '"' + table.replace('"', '""') + '"'
                removed += connection.execute(f"DELETE FROM {quoted} WHERE entity_key = ?", (key,)).rowcount
        connection.commit()
        if removed or key in file.read_bytes():
            connection.execute("VACUUM")
    return removed
