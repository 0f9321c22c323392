import pytest

from contracts.days import Days, training_days
from contracts.features import FEATURE_SETS, FEATURES, feature_set
from contracts.settings import Settings
from contracts.tables import declared

EVERYTHING = declared(Settings(feature_sets=",".join(FEATURE_SETS)))


def test_no_table_holds_a_column_that_must_never_be_there() -> None:
    for table in EVERYTHING.values():
        assert not set(table.names()) & set(table.never)
        assert set(table.key) <= set(table.names())
        assert set(table.partition) <= set(table.names())


def test_labels_are_forbidden_in_the_feature_tables() -> None:
    for name in ("user_features", "ad_features"):
        assert {"label", "clicked_at", "position"} <= set(EVERYTHING[name].never)


def test_every_snapshot_feature_has_its_column() -> None:
    for feature in FEATURES:
        if feature.side in ("ad", "user"):
            assert feature.name in EVERYTHING[f"{feature.side}_features"].names()


def test_position_is_no_feature() -> None:
    assert "position" not in {feature.name for feature in FEATURES}


@pytest.mark.parametrize("name", FEATURE_SETS)
def test_what_crosses_and_pairs_are_made_of_is_in_the_set(name: str) -> None:
    names = {feature.name: feature for feature in feature_set(name)}
    assert len(names) == len(FEATURE_SETS[name])
    for feature in names.values():
        assert len(feature.of) == (2 if feature.side in ("cross", "pair") else 0)
        assert (feature.kind == "cross") == (feature.side == "cross")
        lists = [names[side].kind in ("multi_hot", "sequence") for side in feature.of]
        if feature.kind == "cross":
            assert [names[side].kind for side in feature.of] == ["categorical"] * 2
        elif feature.side == "pair":
            assert lists[0] and (lists[1] or names[feature.of[1]].kind == "categorical")


def test_a_run_never_trains_on_its_held_out_day() -> None:
    day = Days.parse("2026-02-02").start
    days = training_days(day, 32)
    assert day not in days and len(days) == 32 and days.texts()[-1] == "2026-02-01"
