"""Value -> code: the 64-bit hash that Spark's `xxhash64(column)` gives for one string column, to the bit."""

from __future__ import annotations

import xxhash

SEED = 42  # Spark's own seed for xxhash64; changing it changes every code


def code(value: str | None) -> int | None:
    """The code of a categorical value: signed 64-bit XXH64 of its UTF-8 bytes. A null has no code (None)."""
    if value is None:
        return None
    unsigned = xxhash.xxh64_intdigest(value.encode(), seed=SEED)
    return unsigned - (1 << 64) if unsigned >= 1 << 63 else unsigned


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def split(text: str) -> list[str]:
    """All words of a text, in order: ASCII lower case, split at ASCII white space.

    Only ASCII letters change case, so that no library's Unicode tables can make this and Spark's twin
    (`spark_jobs.expressions.split`) differ.
    """
    spaced = text.translate(_LOWER)
    for space in "\t\n\r":
        spaced = spaced.replace(space, " ")
    return [word for word in spaced.split(" ") if word]


def words(text: str | None, limit: int) -> list[str] | None:
    """The first `limit` distinct words of a text, in order."""
    return None if text is None else list(dict.fromkeys(split(text)))[:limit]
