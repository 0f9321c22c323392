"""Values -> codes in Spark's own expressions: the twins of contracts.hashing and contracts.features.context_values.

No Python function runs in a worker here; tests/spark/test_expressions.py keeps both sides equal to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import Column as SparkColumn
from pyspark.sql import functions as F

from contracts.features import BY_NAME, Feature

_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def code(value: SparkColumn) -> SparkColumn:
    """bigint: XXH64 of the string with Spark's seed 42, null for null (xxhash64 alone would give the seed)."""
    return F.when(value.isNotNull(), F.xxhash64(value))


def codes(values: SparkColumn) -> SparkColumn:
    """array<bigint>: the code of each element that is not null, in order; null for a null array."""
    return F.transform(F.filter(values, lambda one: one.isNotNull()), lambda one: F.xxhash64(one))


def words(text: SparkColumn, limit: int) -> SparkColumn:
    """array<string>: the first `limit` distinct words, ASCII lower case, split at ASCII white space.

    `translate` and not `lower`: only ASCII letters may change, whatever Unicode version the JVM knows.
    """
    spaced = F.translate(text, _UPPER + "\t\n\r", _UPPER.lower() + "   ")
    found = F.filter(F.split(spaced, " ", -1), lambda word: word != "")
    return F.slice(F.array_distinct(found), 1, limit)


def feature_code(feature: Feature, value: SparkColumn) -> SparkColumn:
    """The code column of one feature from its value column; a number is its own code."""
    if feature.kind == "numeric":
        return value.cast("double")
    if feature.kind in ("multi_hot", "sequence"):
        return codes(F.slice(value, 1, feature.limit))
    return code(value)


def code_columns(features: Iterable[Feature], side: str) -> list[SparkColumn]:
    """`c_<feature>` for each feature of a side, from the value column that bears the feature's name."""
    return [feature_code(f, F.col(f.name)).alias(f"c_{f.name}") for f in features if f.side == side]


def context_values(shown_at: SparkColumn, query: SparkColumn, time_zone: str) -> dict[str, SparkColumn]:
    """The values of the context features. The session's time zone must be UTC."""
    local = F.from_utc_timestamp(shown_at, time_zone)
    return {
        "hour": F.hour(local).cast("string"),
        "weekday": (F.weekday(local) + 1).cast("string"),  # Spark: 0 is Monday; ISO: 1 is
        "query_words": words(query, BY_NAME["query_words"].limit),
    }
