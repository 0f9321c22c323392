"""The production set from made values to a served request: codes, pairs, crosses, training, bundle, scorer."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from contracts import paths
from contracts.batch import CodeColumn, column_of
from contracts.errors import MissingArtifact
from contracts.features import BY_NAME, Feature, code_type, coded, context_values, feature_set
from contracts.hashing import code
from contracts.settings import Settings
from release.publishing.candidate import write_candidate
from serving.bundle import open_bundle
from serving.online_features import code_columns
from serving.scorer import Scorer
from serving.table import VisualTable
from training.evaluate import score_day
from training.recipes import tiny
from training.train import train_day

PRODUCTION = feature_set("production")
ARROW = {"bigint": pa.int64(), "double": pa.float64(), "array<bigint>": pa.list_(pa.int64())}
FIRST, DAYS, SHOWN = date(2026, 1, 1), 4, 120
QUERIES = (None, "", "red shoe", "Blue boot for w1", "w1 w2 w1 w3")
Values = dict[str, Any]


def made_value(feature: Feature, n: int) -> Any:
    """Some value of the feature's kind; every seventh is missing."""
    if n % 7 == 3:
        return None
    if feature.kind == "numeric":
        return float(n % 11) - 1.5
    words = [f"w{(n + at) % 5}" for at in range(n % 4)]
    if feature.name == "recent_categories":
        return [f"category_id {(n + at) % 3}" for at in range(n % 4)]
    return words if feature.kind in ("multi_hot", "sequence") else f"{feature.name} {n % 3}"


def values(side: str, n: int) -> Values:
    key = f"{side}_id"
    made = {f.name: made_value(f, n) for f in PRODUCTION if f.side == side}
    return made | {key: f"{side}{n}"}


def spark_code(feature: Feature, value: Any) -> Any:
    """What Spark writes into the groups."""
    if value is None or feature.kind == "numeric":
        return value
    return [code(one) for one in value] if isinstance(value, list) else code(value)


def codes(sides: tuple[str, ...], made: Values) -> Values:
    return {f"c_{f.name}": spark_code(f, made[f.name]) for f in PRODUCTION if f.side in sides}


def struct(*sides: str) -> list[tuple[str, pa.DataType]]:
    return [(f"c_{f.name}", ARROW[code_type(f)]) for f in PRODUCTION if f.side in sides]


SCHEMA = pa.schema(
    [("day", pa.string()), ("group_id", pa.string()), ("ad_id", pa.string()), ("image", pa.string()), *struct("ad")]
    + [
        ("impressions", pa.list_(pa.struct(
            [("impression_id", pa.string()), ("shown_at", pa.timestamp("us", "UTC")), ("position", pa.int32()),
             ("label", pa.int32()), ("user_id", pa.string()), *struct("user", "context")]
        ))),
    ]
)  # fmt: skip


def request(day: date, n: int) -> tuple[int, int, datetime, str | None]:
    """(user, ad, moment, query) of the day's n-th impression."""
    shown = datetime(day.year, day.month, day.day, n % 24, tzinfo=UTC)
    return n % 17, n % 13, shown, QUERIES[n % len(QUERIES)]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = tmp_path_factory.mktemp("production")
    made = Settings(home=root, min_training_days=DAYS - 1)
    for at in range(DAYS):
        day, groups = FIRST + timedelta(days=at), {}
        for n in range(SHOWN):
            user, ad, shown, query = request(day, n)
            context = context_values(shown, query, "UTC")
            groups.setdefault(ad, []).append(
                {"impression_id": f"{n}", "shown_at": shown, "position": 0, "label": int((n + user) % 3 == 0),
                 "user_id": f"user{user}", **codes(("user",), values("user", user)), **codes(("context",), context)}
            )  # fmt: skip
        rows = [
            {"day": day.isoformat(), "group_id": str(ad), "ad_id": f"ad{ad}", "image": None,
             **codes(("ad",), values("ad", ad)), "impressions": those}
            for ad, those in groups.items()
        ]  # fmt: skip
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
        write_deltalake(paths.table(made, "ad_groups"), table, mode="append", partition_by=["day"])
    return made


def test_a_request_gets_the_training_sides_scores(settings: Settings, tmp_path: Path) -> None:
    """Training side: torch on the table's codes. Predictor: numpy on codes that it makes from values."""
    chosen = tiny().model_copy(update={"feature_set": "production", "backbone": "none"})
    day = FIRST + timedelta(days=DAYS - 1)
    address = train_day(day, settings, chosen)
    none = VisualTable(np.empty(0, np.int64), np.zeros((1, 0), np.float32))
    bundle = open_bundle(write_candidate(tmp_path, day.isoformat(), address, "none", none, "UTC"), named=False)
    assert bundle.info.feature_set == "production" and len(bundle.features) == 95
    for name in ("match_words", "match_count", "match_share", "match_bigrams", "category_visits"):
        assert bundle.maps[name].rows > 3, f"{name} is the same for all"
    trained = score_day(address.parent, day.isoformat(), settings)
    wanted = dict(zip(trained.impression_id, trained.score, strict=True))
    assert np.std(trained.score) > 1e-3
    scorer = Scorer(bundle)
    for n in range(0, SHOWN, 5):
        user, ad, shown, query = request(day, n)
        ads = {name: [value] for name, value in values("ad", ad).items()}
        columns = code_columns(bundle.features, values("user", user), ads, context_values(shown, query, "UTC"), 1)
        ctr = scorer.score(scorer.rows(columns), np.zeros((1, 0), np.float32))
        assert abs(ctr[0] - wanted[str(n)]) < 1e-5, n


def test_a_model_of_the_default_set_reads_only_its_own_columns(settings: Settings) -> None:
    from training import reader

    table, daily = reader.open_table(paths.table(settings, "ad_groups")), feature_set("daily")
    (part,) = reader.chunks(table, FIRST.isoformat(), daily)
    assert set(part.codes) == {feature.name for feature in coded(daily)}
    (wide,) = reader.chunks(table, FIRST.isoformat(), PRODUCTION)
    for name, column in part.codes.items():
        np.testing.assert_array_equal(column.codes, wide.codes[name].codes)


def test_a_table_without_the_models_columns_says_which(tmp_path: Path) -> None:
    from training import reader

    short = SCHEMA.remove(SCHEMA.get_field_index("c_price_band"))
    write_deltalake(str(tmp_path), pa.Table.from_pylist([{"day": "2026-01-01"}], schema=short), partition_by=["day"])
    with pytest.raises(MissingArtifact, match="c_price_band.*feature_sets"):
        list(reader.chunks(reader.open_table(str(tmp_path)), "2026-01-01", PRODUCTION))


def test_pairs_by_hand() -> None:
    columns = {
        "query_words": CodeColumn.lists([[1, 2, 3], [1], [], None, [9]], 4),
        "title_words": CodeColumn.lists([[3, 1, 7], None, [1], [1], [8]], 4),
        "recent_categories": CodeColumn.lists([[5, 6, 5], [5], None, [0], [5]], 4),
        "category_id": CodeColumn.categorical([5, None, 5, 6, 6]),
    }
    found = {name: column_of(BY_NAME[name], columns) for name in ("match_words", "match_count", "match_share")}
    words = found["match_words"]
    assert [c[p].tolist() for c, p in zip(words.codes, words.present, strict=True)] == [[1, 3], [], [], [], []]
    np.testing.assert_array_equal(found["match_count"].codes, [2, np.nan, np.nan, np.nan, 0])
    np.testing.assert_array_equal(found["match_share"].codes, [2 / 3, np.nan, np.nan, np.nan, 0])
    visits = column_of(BY_NAME["category_visits"], columns)
    np.testing.assert_array_equal(visits.codes, [2, np.nan, np.nan, 0, 0])  # a padded 0 is no code 0
    assert visits.present.tolist() == [True, False, False, True, True]
