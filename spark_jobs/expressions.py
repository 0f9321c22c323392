"""Values -> codes in Spark's own expressions: the twins of contracts.hashing, contracts.texts and context_values.

No Python function runs in a worker here; tests/spark/test_expressions.py keeps both sides equal to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pyspark.sql import Column as SparkColumn
from pyspark.sql import functions as F

from contracts.features import CONTEXT, Feature, value_type

_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def code(value: SparkColumn) -> SparkColumn:
    """bigint: XXH64 of the string with Spark's seed 42, null for null (xxhash64 alone would give the seed)."""
    return F.when(value.isNotNull(), F.xxhash64(value))


def codes(values: SparkColumn) -> SparkColumn:
    """array<bigint>: the code of each element that is not null, in order; null for a null array."""
    return F.transform(F.filter(values, lambda one: one.isNotNull()), lambda one: F.xxhash64(one))


def split(text: SparkColumn) -> SparkColumn:
    """array<string>: all words in order, ASCII lower case, split at ASCII white space; null for null.

    `translate` and not `lower`: only ASCII letters may change, whatever Unicode version the JVM knows.
    """
    spaced = F.translate(text, _UPPER + "\t\n\r", _UPPER.lower() + "   ")
    return F.filter(F.split(spaced, " ", -1), lambda word: word != "")


def words(text: SparkColumn, limit: int) -> SparkColumn:
    """array<string>: the first `limit` distinct words."""
    return F.slice(F.array_distinct(split(text)), 1, limit)


def _bigrams(text: SparkColumn, limit: int) -> SparkColumn:
    every = split(text)
    pairs = F.greatest(F.size(every) - 1, F.lit(0))
    joined = F.zip_with(
        F.slice(every, 1, pairs), F.slice(every, 2, pairs), lambda one, after: F.concat_ws(" ", one, after)
    )
    return F.slice(F.array_distinct(joined), 1, limit)


def _word_count(text: SparkColumn, limit: int) -> SparkColumn:
    return F.when(text.isNotNull(), F.size(split(text))).cast("double")


def _phrase(text: SparkColumn, limit: int) -> SparkColumn:
    return F.array_join(split(text), " ")


def _last_word(text: SparkColumn, limit: int) -> SparkColumn:
    return F.get(F.reverse(split(text)), F.lit(0))


# The twins of contracts.texts.TEXTS.
TEXTS: dict[str, Callable[[SparkColumn, int], SparkColumn]] = {
    "words": words, "bigrams": _bigrams, "word_count": _word_count, "phrase": _phrase, "last_word": _last_word,
}  # fmt: skip


def landed_value(feature: Feature) -> SparkColumn:
    """The value of a feature that one landed column makes (transforms copy, band, present and those of texts)."""
    how, landed = feature.transform.how, F.col(feature.transform.of)
    if how in TEXTS:
        return TEXTS[how](landed, feature.limit)
    if how == "copy":
        return landed.cast(value_type(feature))
    if how == "present":
        return F.when(landed.isNotNull(), "yes").otherwise("no")
    number = landed.cast("double")  # band; NaN is above every number
    return F.when((number >= 0) & (number < 1e15), F.floor(F.log2(number + 1) * 2).cast("string"))


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
    """The values of all context features. The session's time zone must be UTC."""
    local = F.from_utc_timestamp(shown_at, time_zone)
    clock = {
        "hour": F.hour(local),
        "weekday": F.weekday(local) + 1,  # Spark: 0 is Monday; ISO: 1 is
        "day_of_month": F.dayofmonth(local),
    }
    return {
        feature.name: clock[feature.transform.how].cast("string")
        if feature.transform.how in clock
        else TEXTS[feature.transform.how](query, feature.limit)
        for feature in CONTEXT
    }
