"""Codes and context values made by Spark equal contracts' to the bit."""

from __future__ import annotations

import struct
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from contracts.features import BY_NAME, FEATURES, context_values
from contracts.hashing import code, words

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TEXTS = [
    None, "", " ", "a", "Red SHOE red", "\tone\ntwo\r three  one", "ÀÉ àé", "İstanbul ı", "ſ K", "日本 語 日本",
    "👟 Shoe",
    "a\u00a0b\u2003c", "x" * 40, " ".join(f"w{n}" for n in range(30)), "e\u0301 é", "\x00 nul", "a\x0bb\x0cc",
]  # fmt: skip


def test_code_and_words_are_equal_to_the_bit(spark: SparkSession) -> None:
    from pyspark.sql import functions as F

    from spark_jobs import expressions

    frame = spark.createDataFrame([(n, text) for n, text in enumerate(TEXTS)], "n int, text string")
    rows = frame.select(
        "n",
        expressions.code(F.col("text")).alias("code"),
        expressions.words(F.col("text"), 8).alias("words"),
        expressions.codes(expressions.words(F.col("text"), 8)).alias("codes"),
    ).collect()
    for row in rows:
        text = TEXTS[row["n"]]
        assert row["code"] == code(text), text
        assert row["words"] == words(text, 8), text
        split = words(text, 8)
        assert row["codes"] == (None if split is None else [code(word) for word in split]), text


def test_a_null_has_no_code_and_a_null_element_is_left_out(spark: SparkSession) -> None:
    from pyspark.sql import functions as F

    from spark_jobs import expressions

    (row,) = (
        spark.createDataFrame([(None, ["a", None, "b"])], "text string, list array<string>")
        .select(expressions.code(F.col("text")), expressions.codes(F.col("list")))
        .collect()
    )
    assert list(row) == [None, [code("a"), code("b")]]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/New_York", "Asia/Kathmandu"])
def test_context_values(spark: SparkSession, zone: str) -> None:
    from pyspark.sql import functions as F

    from spark_jobs import expressions

    moments = [
        datetime(2026, 1, 4, 23, 59, 59, 999_999, UTC),
        datetime(2026, 1, 5, tzinfo=UTC),
        datetime(2026, 3, 8, 6, 59, 59, tzinfo=UTC),  # New York's clock springs forward at 07:00 UTC
        datetime(2026, 3, 8, 7, tzinfo=UTC),
        datetime(2026, 11, 1, 6, 30, tzinfo=UTC),
    ]
    rows = [(n, at, text) for n, (at, text) in enumerate(zip(moments, TEXTS, strict=False))]
    made = expressions.context_values(F.col("at"), F.col("query"), zone)
    frame = spark.createDataFrame(rows, "n int, at timestamp, query string").withColumns(made)
    for row in frame.collect():
        expected = context_values(rows[row["n"]][1], rows[row["n"]][2], zone)
        assert {name: row[name] for name in expected} == expected
    assert {f.name for f in FEATURES if f.side == "context"} == set(made)


ZONES = ("UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")  # Lord Howe's clock moves by 30 minutes
# Where those clocks jump, and ends of days, months and years.
JUMPS = [
    datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC), datetime(2026, 4, 4, 15, tzinfo=UTC),
    datetime(2026, 10, 3, 15, 30, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC),
]  # fmt: skip
spaces = st.sampled_from([" ", "  ", "\t", "\r\n", "\u00a0", "\u2003", "\u3000", "\x1f", ""])
letters = st.characters(exclude_categories=["Cs"]) | st.sampled_from("AaZzİıſKÅé\u0301ß\x00")
tokens = st.text(letters, max_size=6) | st.sampled_from(["red", "Red", "shoe", "e\u0301", "\u00e9"])
forms = st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"])
texts = st.none() | st.builds(
    lambda parts, form: unicodedata.normalize(form, "".join(a + b for a, b in parts)),
    st.lists(st.tuples(tokens, spaces), max_size=12),
    forms,
)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)) | st.builds(
    lambda jump, off: jump + timedelta(microseconds=off), st.sampled_from(JUMPS), st.integers(-2, 2)
)
numbers = st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -0.0, 5e-324])
integers = st.none() | st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**63 - 1, -(2**63), 2**53 + 1, 0])
lists = st.none() | st.lists(st.none() | texts, max_size=40)
examples = st.lists(st.tuples(moments, texts, numbers, integers, lists), min_size=60, max_size=60)


def bits(number: float | None) -> bytes | None:
    """Missing is missing, whether null or NaN; 0.0 and -0.0 are two numbers here."""
    return None if number is None or number != number else struct.pack(">d", number)


@hypothesis.settings(
    max_examples=5, deadline=None, derandomize=True, database=None, phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)  # fmt: skip
@hypothesis.given(batch=examples)
def test_any_value_gets_the_predictors_code(spark: SparkSession, batch: list[tuple[Any, ...]]) -> None:
    """60 examples a Spark query: what the request brings, in four time zones, and values of every kind of feature."""
    from pyspark.sql import functions as F

    from serving.online_features import code_column
    from spark_jobs import expressions

    batch = [*batch, (JUMPS[0], None, None, None, None), (JUMPS[1], "", float("nan"), 2**63 - 1, [None, ""])]
    schema = "n int, at timestamp, text string, number double, integer bigint, list array<string>"
    frame = spark.createDataFrame([(n, *one) for n, one in enumerate(batch)], schema)
    context = [feature for feature in FEATURES if feature.side == "context"]
    wanted: list[Any] = []
    for zone in ZONES:
        made = expressions.context_values(F.col("at"), F.col("text"), zone)
        wanted += [expressions.feature_code(f, made[f.name]).alias(f"{f.name} {zone}") for f in context]
    price, brand, recent = BY_NAME["price"], BY_NAME["brand_id"], BY_NAME["recent_brands"]
    wanted += [
        expressions.feature_code(price, F.col("number")).alias("number"),
        expressions.feature_code(price, F.col("integer").cast("double")).alias("integer"),
        expressions.feature_code(brand, F.col("text")).alias("text"),
        expressions.feature_code(recent, F.col("list")).alias("list"),
    ]
    found = sorted(frame.select("n", *wanted).collect(), key=lambda row: row["n"])

    def same(feature: Any, name: str, values: list[Any]) -> None:
        column = code_column(feature, values)
        for n, value in enumerate(values):
            made = found[n][name]
            if feature.kind == "numeric":
                served = bits(column.codes[n]) if column.present[n] else None
                assert bits(made) == served, (name, value)
            else:
                served = np.atleast_1d(column.codes[n])[np.atleast_1d(column.present[n])].tolist()
                spark_made = [] if made is None else made if isinstance(made, list) else [made]
                assert spark_made == served, (name, value)

    for zone in ZONES:
        for feature in context:
            values = [context_values(at, text, zone)[feature.name] for at, text, *_ in batch]
            same(feature, f"{feature.name} {zone}", values)
    same(price, "number", [one[2] for one in batch])
    same(price, "integer", [None if one[3] is None else float(one[3]) for one in batch])
    same(brand, "text", [one[1] for one in batch])
    same(recent, "list", [one[4] for one in batch])
