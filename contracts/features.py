"""Every feature, declared once, and the sets that models name.

`side` says where the value comes from: `ad` and `user` from the daily snapshots (tables ad_features, user_features, a
column of the feature's name), `context` from the request or impression itself, `pair` and `cross` from the codes of two
others (contracts/batch.py). Fields are those of CSCNN's Table 7. docs/features.md explains it all.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from contracts.daily_features import DAILY
from contracts.errors import SettingsError
from contracts.feature import Feature, code_type, value_type
from contracts.production_features import PRODUCTION
from contracts.texts import TEXTS

if TYPE_CHECKING:
    from contracts.settings import Settings

__all__ = ["Feature", "code_type", "value_type"]

FEATURES: tuple[Feature, ...] = (*DAILY, *PRODUCTION)
BY_NAME: dict[str, Feature] = {feature.name: feature for feature in FEATURES}

CONTEXT: tuple[Feature, ...] = tuple(feature for feature in FEATURES if feature.side == "context")

# A feature set is a list of names; each model names its own (a Feast feature service of the same name).
FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "daily": tuple(feature.name for feature in DAILY),
    "production": tuple(feature.name for feature in FEATURES),
}


def feature_set(name: str) -> tuple[Feature, ...]:
    return tuple(BY_NAME[feature] for feature in FEATURE_SETS[name])


def coded(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """The features that have a code of their own: all but crosses and pairs, and what those are made of; each once."""
    names = dict.fromkeys(part for feature in features for part in (feature.of or (feature.name,)))
    return tuple(BY_NAME[name] for name in names)


def lookback(features: Iterable[Feature]) -> int:
    """Folders that a snapshot's features look back on, its own included; at least one."""
    return max([1, *(feature.transform.folders for feature in features)])


def built(settings: Settings) -> tuple[Feature, ...]:
    """The features whose columns the tables hold: those of the sets that the setting `feature_sets` names, what their
    crosses and pairs are made of included, in the declared order.

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


def context_values(shown_at: datetime, query: str | None, time_zone: str) -> dict[str, str | float | list[str] | None]:
    """The values of all `context` features of one request. `shown_at` must carry its time zone.

    Spark's twin is in spark_jobs/expressions.py; a test keeps them equal.
    """
    local = shown_at.astimezone(ZoneInfo(time_zone))
    clock = {"hour": local.hour, "weekday": local.isoweekday(), "day_of_month": local.day}
    return {
        feature.name: str(clock[feature.transform.how])
        if feature.transform.how in clock
        else TEXTS[feature.transform.how](query, feature.limit)
        for feature in CONTEXT
    }
