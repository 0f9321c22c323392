"""Feast's online store -> values -> codes, for the predictor. Starts no Spark and imports none.

The configuration is `<home>/feast/online.yaml`, which `materialise` leaves there: registry and online store only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import yaml

from contracts import paths
from contracts.batch import CodeColumn
from contracts.errors import DamagedArtifact, MissingArtifact
from contracts.features import Feature, coded, feature_set
from contracts.hashing import code
from contracts.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore

Value = str | float | list[str] | None
CONFIGURATION, MATERIALISED = "online.yaml", "materialised.json"
DAILY = feature_set("daily")
KEYS = {"ad": "ad_id", "user": "user_id"}


@dataclass(frozen=True)
class OnlineFeatures:
    """The values of the day that was materialised last. An entity that is not in that day's snapshot is unknown.

    Feast's stores keep what an older day wrote for an entity that is gone since; `stamp` (seconds) tells it apart.
    """

    store: FeatureStore
    day: str
    stamp: float

    @classmethod
    def open(cls, settings: Settings) -> OnlineFeatures:
        """Raises MissingArtifact before the first materialisation."""
        home = paths.feature_store(settings)
        try:
            config = yaml.safe_load((home / CONFIGURATION).read_text(encoding="utf-8"))
            note = json.loads((home / MATERIALISED).read_text(encoding="utf-8"))
            day, stamp = str(note["day"]), datetime.fromisoformat(note["event_timestamp"]).timestamp()
            files = _local_files(config)
        except FileNotFoundError as error:
            raise MissingArtifact(f"no {error.filename}; run `adlens materialise` for a day first") from None
        except (ValueError, KeyError, yaml.YAMLError) as error:
            raise DamagedArtifact(f"{home}: {CONFIGURATION} or {MATERIALISED} cannot be read: {error}") from None
        for file in files:  # SQLite would make an empty one, and every entity would be unknown
            if not file.is_file():
                raise MissingArtifact(f"no {file}; run `adlens materialise` for a day first")
        with redirect_stdout(StringIO()):
            from feast import FeatureStore
            from feast.repo_config import RepoConfig

            return cls(FeatureStore(config=RepoConfig(**config)), day, stamp)

    def ads(self, ad_ids: Sequence[str], features: Sequence[Feature] = DAILY) -> dict[str, list[Value]]:
        """Values by feature of side `ad` that a model's features need, and `image`, in the order of the ids."""
        return self._fetch("ad", list(ad_ids), features, ["image"])

    def user(self, user_id: str, features: Sequence[Feature] = DAILY) -> dict[str, Value]:
        """Values by feature of side `user` that a model's features need."""
        return {name: values[0] for name, values in self._fetch("user", [user_id], features, []).items()}

    def _fetch(
        self, side: str, ids: list[str], features: Sequence[Feature], beside: list[str]
    ) -> dict[str, list[Value]]:
        key = KEYS[side]
        wanted = [f.name for f in coded(features) if f.side == side]
        names = [name for name in wanted if name != key] + beside
        values: dict[str, list[Value]] = {key: list(ids)} if key in wanted else {}
        if not ids:
            return values | {name: [] for name in names}
        answer: dict[str, list[Any]] = self.store.get_online_features(
            features=[f"{side}_features:{name}" for name in names], entity_rows=[{key: one} for one in ids]
        ).to_dict(include_event_timestamps=True)
        for name in names:
            fresh = (stamp >= self.stamp for stamp in answer[f"{name}__ts"])
            values[name] = [value if new else None for value, new in zip(answer[name], fresh, strict=True)]
        return values


def _local_files(config: Mapping[str, Any]) -> list[Path]:
    """Registry and online store where they are files; none of a server's."""
    addresses = (config["registry"]["path"], config["online_store"].get("path", ""))
    paths_only = (text.removeprefix("sqlite:///") for text in addresses)
    return [Path(text) for text in paths_only if text and "://" not in text]


def code_column(feature: Feature, values: Sequence[Value]) -> CodeColumn:
    """The codes of one feature, as Spark makes them (spark_jobs.expressions.feature_code)."""
    if feature.kind == "numeric":
        return CodeColumn.numeric([None if v is None else float(cast(float, v)) for v in values])
    if feature.kind in ("multi_hot", "sequence"):
        lists = [None if v is None else [code(w) for w in cast(list[str], v)[: feature.limit]] for v in values]
        return CodeColumn.lists([None if v is None else [c for c in v if c is not None] for v in lists], feature.limit)
    return CodeColumn.categorical([code(cast("str | None", v)) for v in values])


def code_columns(
    features: Sequence[Feature],
    user_values: Mapping[str, Value],
    ad_values: Mapping[str, Sequence[Value]],
    context_values: Mapping[str, Value],
    n: int,
) -> dict[str, CodeColumn]:
    """Columns of N = n items for every feature that is neither cross nor pair, and for both sides of each.

    One user and one context for all n ads: their codes are made once and repeated.
    """
    repeated = np.zeros(n, np.int64)
    columns: dict[str, CodeColumn] = {}
    for feature in coded(features):
        if feature.side == "ad":
            columns[feature.name] = code_column(feature, ad_values[feature.name])
        else:
            one = user_values if feature.side == "user" else context_values
            columns[feature.name] = code_column(feature, [one[feature.name]]).take(repeated)
    return columns
