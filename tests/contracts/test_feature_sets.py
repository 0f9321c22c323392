"""Which columns the tables hold is decided by the setting `feature_sets`; the default's are frozen here."""

from collections import Counter

import pytest

from contracts.errors import SettingsError
from contracts.feature import HOW
from contracts.features import FEATURE_SETS, FEATURES, built, coded, feature_set
from contracts.settings import Settings
from contracts.tables import LANDING, TABLES, declared

STAMPED = ["day", "event_timestamp", "created"]
AD = ["ad_id", "category_id", "brand_id", "shop_id", "price", "reviews"]


def test_the_default_tables_are_frozen() -> None:
    tables = declared(Settings())
    user = ["user_id", "age_band", "gender", "region", "price_sensitivity", "user_ctr_7d", "recent_categories"]
    assert tables["user_features"].names() == [*STAMPED, *user]
    assert tables["ad_features"].names() == [*STAMPED, *AD, "title_words", "ad_ctr_7d", "image"]
    codes = [f"c_{name}" for name in (*AD, "ad_ctr_7d", "title_words")]
    assert tables["ad_groups"].names() == ["day", "group_id", "ad_id", "image", *codes, "impressions"]
    inner = "hour:bigint,c_weekday:bigint,c_query_words:array<bigint>>>"
    assert tables["ad_groups"].columns[-1].type.endswith(inner)
    assert {name: tables[name] for name in TABLES} == TABLES


def test_built_is_the_union_in_declared_order_each_once() -> None:
    assert built(Settings()) == feature_set("daily")
    assert built(Settings(feature_sets=" daily , daily ")) == feature_set("daily")
    order = [FEATURES.index(feature) for feature in built(Settings())]
    assert order == sorted(set(order))


@pytest.mark.parametrize("wrong", ["dayly", "daily,nightly", "", " , "])
def test_a_set_that_nobody_declared_is_refused(wrong: str) -> None:
    with pytest.raises(SettingsError, match="known: daily, production"):
        built(Settings(feature_sets=wrong))


def test_what_a_cross_needs_has_a_code() -> None:
    (cross,) = (feature for feature in feature_set("daily") if feature.name == "age_x_brand")
    assert [feature.name for feature in coded([cross])] == ["age_band", "brand_id"]


def test_the_production_set_has_the_counts_of_table_7() -> None:
    """CSCNN, Table 7: 14 + 6 + 3 + 13 + 14 features, with manual interactions 95, 4 numbers each."""
    features = feature_set("production")
    counts = Counter(feature.field for feature in features if feature.kind != "cross")
    assert counts == {"Ad": 14, "User": 6, "Time": 3, "Text": 13, "History": 14}
    assert sum(feature.kind == "cross" for feature in features) == 45
    assert len(features) == 95 and sum(feature.dimension for feature in features) == 380


def test_every_feature_says_what_it_is_made_of() -> None:
    landed = {f"{name}.{column.name}" for name, columns in LANDING.items() for column in columns}
    for feature in FEATURES:
        assert feature.source and set(feature.source) <= landed, feature.name
        assert feature.transform.how in HOW and feature.description and feature.owner, feature.name
        looks_back = feature.transform.how in ("listed", "ctr", "acted", "recent")
        assert (feature.transform.folders > 0) == looks_back, feature.name
        assert "impressions.position" not in feature.source
    assert {feature.transform.how for feature in FEATURES} == set(HOW)


def test_a_set_of_its_own_builds_what_its_pairs_and_crosses_need() -> None:
    both = built(Settings(feature_sets="production"))
    assert {feature.name for feature in both} == set(FEATURE_SETS["production"])
    assert both == built(Settings(feature_sets="daily,production"))
