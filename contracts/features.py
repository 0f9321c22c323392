"""Every feature, declared once, and the sets that models name.

`side` says where the value comes from: `ad` and `user` from the daily snapshots (tables ad_features, user_features,
column `source`), `context` from the request or impression itself. Fields are those of CSCNN's Table 7.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from contracts.errors import SettingsError
from contracts.feature import Feature, code_type, value_type
from contracts.hashing import words

if TYPE_CHECKING:
    from contracts.settings import Settings

__all__ = ["Feature", "code_type", "value_type"]

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


def coded(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """The features that have a code of their own: all but crosses, and both sides of every cross; each once."""
    names = dict.fromkeys(part for feature in features for part in (feature.of or (feature.name,)))
    return tuple(BY_NAME[name] for name in names)


def built(settings: Settings) -> tuple[Feature, ...]:
    """The features whose columns the tables hold: those of the sets that the setting `feature_sets` names, both sides
    of their crosses included, in the declared order.

    Raises SettingsError for a name that is no set.
    """
    chosen = [name.strip() for name in settings.feature_sets.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in FEATURE_SETS]
    if unknown or not chosen:
        raise SettingsError(
            f"feature_sets is '{settings.feature_sets}' (ADLENS_FEATURE_SETS): "
            f"{', '.join(unknown) or 'an empty list'} names no feature set; known: {', '.join(sorted(FEATURE_SETS))}"
        )
    features = [feature for name in chosen for feature in feature_set(name)]
    named = {feature.name for feature in (*features, *coded(features))}
    return tuple(feature for feature in FEATURES if feature.name in named)


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
