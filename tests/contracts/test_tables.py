from contracts.days import Days, training_days
from contracts.features import FEATURES, feature_set
from contracts.tables import TABLES, group_tables


def test_no_table_holds_a_column_that_must_never_be_there() -> None:
    for table in (*TABLES.values(), *group_tables().values()):
        assert not set(table.names()) & set(table.never)
        assert set(table.key) <= set(table.names())
        assert set(table.partition) <= set(table.names())


def test_labels_are_forbidden_in_the_feature_tables() -> None:
    for name in ("user_features", "ad_features"):
        assert {"label", "clicked_at", "position"} <= set(TABLES[name].never)


def test_every_snapshot_feature_has_its_column() -> None:
    for feature in FEATURES:
        if feature.side in ("ad", "user"):
            assert feature.name in TABLES[f"{feature.side}_features"].names()


def test_position_is_no_feature() -> None:
    assert "position" not in {feature.name for feature in FEATURES}


def test_crosses_are_made_of_categorical_features_of_the_same_set() -> None:
    names = {feature.name: feature for feature in feature_set("daily")}
    for feature in names.values():
        assert len(feature.of) == (2 if feature.kind == "cross" else 0)
        assert all(names[side].kind == "categorical" for side in feature.of)


def test_a_run_never_trains_on_its_held_out_day() -> None:
    day = Days.parse("2026-02-02").start
    days = training_days(day, 32)
    assert day not in days and len(days) == 32 and days.texts()[-1] == "2026-02-01"
