"""Every feature, declared once, and the sets that models name.

`side` says where the value comes from: `ad` and `user` from the daily snapshots (tables ad_features, user_features,
column `source`), `context` from the request or impression itself. Fields are those of CSCNN's Table 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from contracts.hashing import words

Kind = Literal["categorical", "numeric", "multi_hot", "sequence", "cross"]
Side = Literal["ad", "user", "context", "cross"]


@dataclass(frozen=True)
class Feature:
    """`size`: rows of the embedding (hash size, or number of quantile bins for numeric), the two reserved included.

    `encoding`: how the model owns its rows: `hash`, `vocabulary` (codes seen at least min_count times) or `bins`.
    `of`: the two categorical features of a cross.
    """

    name: str
    field: Literal["Ad", "User", "Time", "Text", "History"]
    side: Side
    kind: Kind
    encoding: Literal["hash", "vocabulary", "bins"]
    size: int
    description: str
    limit: int = 1  # longest list of a multi_hot or sequence
    min_count: int = 1
    of: tuple[str, ...] = ()
    dimension: int = 4  # CSCNN: 4 a feature
    owner: str = "ads-ranking"


FEATURES: tuple[Feature, ...] = (
    Feature("ad_id", "Ad", "ad", "categorical", "vocabulary", 20_000, "the ad itself", min_count=20),
    Feature("category_id", "Ad", "ad", "categorical", "vocabulary", 4_096, "product category"),
    Feature("brand_id", "Ad", "ad", "categorical", "vocabulary", 4_096, "brand", min_count=5),
    Feature("shop_id", "Ad", "ad", "categorical", "vocabulary", 4_096, "shop", min_count=5),
    Feature("price", "Ad", "ad", "numeric", "bins", 18, "price"),
    Feature("reviews", "Ad", "ad", "numeric", "bins", 18, "number of reviews"),
    Feature("ad_ctr_7d", "History", "ad", "numeric", "bins", 18, "ad's smoothed CTR, last 7 folders"),
    Feature("title_words", "Text", "ad", "multi_hot", "hash", 4_096, "words of the title", limit=8),
    Feature("age_band", "User", "user", "categorical", "vocabulary", 64, "age band"),
    Feature("gender", "User", "user", "categorical", "vocabulary", 16, "gender"),
    Feature("region", "User", "user", "categorical", "vocabulary", 512, "region"),
    Feature("price_sensitivity", "User", "user", "categorical", "vocabulary", 16, "price sensitivity"),
    Feature("user_ctr_7d", "History", "user", "numeric", "bins", 18, "user's smoothed CTR, last 7 folders"),
    Feature("recent_categories", "History", "user", "sequence", "vocabulary", 4_096, "categories acted on", limit=10),
    Feature("hour", "Time", "context", "categorical", "vocabulary", 32, "hour of the business day, 0-23"),
    Feature("weekday", "Time", "context", "categorical", "vocabulary", 16, "1 Monday ... 7 Sunday"),
    Feature("query_words", "Text", "context", "multi_hot", "hash", 4_096, "words of the query", limit=8),
    Feature("gender_x_category", "User", "cross", "cross", "hash", 4_096, "taste", of=("gender", "category_id")),
    Feature("age_x_brand", "User", "cross", "cross", "hash", 8_192, "taste", of=("age_band", "brand_id")),
)
BY_NAME: dict[str, Feature] = {feature.name: feature for feature in FEATURES}

# A feature set is a list of names; each model names its own (a Feast feature service of the same name).
FEATURE_SETS: dict[str, tuple[str, ...]] = {"daily": tuple(feature.name for feature in FEATURES)}


def feature_set(name: str) -> tuple[Feature, ...]:
    return tuple(BY_NAME[feature] for feature in FEATURE_SETS[name])


def code_type(feature: Feature) -> str:
    """Spark type of a feature's code column: null where the value is missing."""
    if feature.kind == "numeric":
        return "double"
    return "array<bigint>" if feature.kind in ("multi_hot", "sequence") else "bigint"


def context_values(shown_at: datetime, query: str | None, time_zone: str) -> dict[str, str | list[str] | None]:
    """The values of the `context` features of one request. `shown_at` must carry its time zone.

    Spark's twin is in spark_jobs/groups.py; a test keeps them equal.
    """
    local = shown_at.astimezone(ZoneInfo(time_zone))
    return {
        "hour": str(local.hour),
        "weekday": str(local.isoweekday()),
        "query_words": words(query, BY_NAME["query_words"].limit),
    }
