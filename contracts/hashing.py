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


def words(text: str | None, limit: int) -> list[str] | None:
    """The first `limit` distinct words of a text, in order: ASCII lower case, split at ASCII white space.

    Spark's twin is `spark_jobs.expressions.words`; only ASCII letters change case, so that no library's Unicode
    tables can make the two differ.
    """
    if text is None:
        return None
    spaced = text.translate(_LOWER)
    for space in "\t\n\r":
        spaced = spaced.replace(space, " ")
    return list(dict.fromkeys(word for word in spaced.split(" ") if word))[:limit]
