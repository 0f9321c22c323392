"""Codes and context values made by Spark equal contracts' to the bit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from contracts.features import FEATURES, context_values
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
