"""Feast's point-in-time answer equals a plain as-of join in SQL, run by another engine, on timings made to break it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from contracts.settings import Settings
from contracts.tables import TABLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STAMP = datetime(2026, 1, 10, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
# What a row's stamp and its `created` may be, and when somebody asks: on the edges of each other and of the ttl.
EDGES = [-DAY - SECOND, -DAY, -DAY + SECOND, -SECOND, timedelta(0), SECOND, DAY - SECOND, DAY, DAY + SECOND]
AS_OF = """
    SELECT user_id, moment, age_band, user_ctr_7d, recent_categories FROM (
        SELECT a.user_id, a.moment, f.age_band, f.user_ctr_7d, f.recent_categories,
               row_number() OVER (PARTITION BY a.user_id, a.moment ORDER BY f.event_timestamp DESC, f.created DESC) AS n
        FROM asked a LEFT JOIN rows f
          ON f.user_id = a.user_id AND f.event_timestamp <= a.moment AND f.created <= a.moment
         AND f.event_timestamp >= a.moment - INTERVAL 1 DAY
    ) WHERE n = 1 ORDER BY ALL
"""


def adversarial(rng: random.Random) -> list[dict[str, Any]]:
    """By hand: two created for one stamp, a newer stamp created later than asked, a missing day. Then at random; no two
    rows of a user with one stamp and one `created`, for then no answer would be the right one."""
    by_hand = [
        ("twice", timedelta(0), SECOND), ("twice", timedelta(0), 2 * SECOND), ("twice", timedelta(0), timedelta(0)),
        ("late", -SECOND, -SECOND), ("late", timedelta(0), DAY), ("gap", -2 * DAY, -2 * DAY), ("early", SECOND, -DAY),
    ]  # fmt: skip
    at_random = [(f"u{rng.randrange(12)}", rng.choice(EDGES), rng.choice(EDGES)) for _ in range(120)]
    return [
        {"day": "2026-01-09", "user_id": user, "event_timestamp": STAMP + stamp, "created": STAMP + created,
         "age_band": None if n % 7 == 0 else f"band {n}", "user_ctr_7d": None if n % 5 == 0 else n / 1000,
         "recent_categories": [None, [], ["c1", f"c{n}"]][n % 3]}
        for n, (user, stamp, created) in enumerate(dict.fromkeys(by_hand + at_random))
    ]  # fmt: skip


def test_feast_equals_a_plain_as_of_join(spark: SparkSession, settings: Settings) -> None:
    import duckdb
    import pyarrow as pa

    from spark_jobs import delta, feast_check, feast_store

    rows = adversarial(random.Random(11))
    names = TABLES["user_features"].names()
    frame = spark.createDataFrame([tuple(row.get(c) for c in names) for row in rows], TABLES["user_features"].ddl)
    delta.write_days(spark, settings, "user_features", frame, ["2026-01-09"])
    users = [*dict.fromkeys(row["user_id"] for row in rows), "unknown"]
    asked = [(user, STAMP + edge) for user in users for edge in EDGES]

    moment = pa.timestamp("us", "UTC")
    with duckdb.connect() as other:
        other.execute("SET TimeZone = 'UTC'")
        schema = [("user_id", pa.string()), ("event_timestamp", moment), ("created", moment), ("age_band", pa.string()),
                  ("user_ctr_7d", pa.float64()), ("recent_categories", pa.list_(pa.string()))]  # fmt: skip
        other.register("rows", pa.Table.from_pylist(rows, pa.schema(schema)))
        listed = [{"user_id": user, "moment": at} for user, at in asked]
        other.register("asked", pa.Table.from_pylist(listed, pa.schema([("user_id", pa.string()), ("moment", moment)])))
        wanted = other.execute(AS_OF).to_arrow_table().to_pylist()

    opened = feast_store.store(spark, settings)
    columns = ["age_band", "user_ctr_7d", "recent_categories"]
    questions = spark.createDataFrame(asked, "user_id string, moment timestamp")
    found = feast_check.by_feast(spark, opened, questions, "user", columns).collect()
    answers = {(row["user_id"], row["moment"].replace(tzinfo=UTC)): [row[c] for c in columns] for row in found}
    expected = {(row["user_id"], row["moment"].astimezone(UTC)): [row[c] for c in columns] for row in wanted}
    assert len(found) == len(asked) == len(answers)
    for question in asked:
        assert answers[question] == expected[question], question
    known = [row for row in expected.values() if any(value is not None for value in row)]
    assert 20 < len(known) < len(asked) - 20  # the timings do both: answers and silence


def test_the_created_filter_is_what_keeps_later_knowledge_out(
    spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the row that was created a day later would join."""
    from spark_jobs import delta, feast_check, feast_store

    names = TABLES["user_features"].names()
    row = {"day": "2026-01-09", "user_id": "u", "event_timestamp": STAMP, "created": STAMP + DAY, "age_band": "later"}
    frame = spark.createDataFrame([tuple(row.get(c) for c in names)], TABLES["user_features"].ddl)
    delta.write_days(spark, settings, "user_features", frame, ["2026-01-09"])
    opened = feast_store.store(spark, settings)
    questions = spark.createDataFrame([("u", STAMP + SECOND)], "user_id string, moment timestamp")
    assert feast_check.by_feast(spark, opened, questions, "user", ["age_band"]).collect()[0]["age_band"] is None
    asked = opened.get_historical_features
    monkeypatch.setattr(
        opened, "get_historical_features", lambda **given: asked(**{**given, "filter_by_created_timestamp": False})
    )
    assert feast_check.by_feast(spark, opened, questions, "user", ["age_band"]).collect()[0]["age_band"] == "later"
