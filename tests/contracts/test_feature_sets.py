"""Which columns the tables hold is decided by the setting `feature_sets`; the default's are frozen here."""

import pytest

from contracts.errors import SettingsError
from contracts.features import FEATURES, built, coded, feature_set
from contracts.settings import Settings
from contracts.tables import TABLES, declared

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
    with pytest.raises(SettingsError, match="known: daily"):
        built(Settings(feature_sets=wrong))


def test_what_a_cross_needs_has_a_code() -> None:
    (cross,) = (feature for feature in feature_set("daily") if feature.name == "age_x_brand")
    assert [feature.name for feature in coded([cross])] == ["age_band", "brand_id"]
