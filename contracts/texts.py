"""What a text's features hold: the twins of spark_jobs.expressions.TEXTS, by the transform's name."""

from __future__ import annotations

from collections.abc import Callable

from contracts.hashing import split, words

Value = str | float | list[str] | None


def bigrams(text: str | None, limit: int) -> list[str] | None:
    """The first `limit` distinct pairs of neighbouring words, one space between them."""
    if text is None:
        return None
    every = split(text)
    return list(dict.fromkeys(f"{one} {after}" for one, after in zip(every, every[1:], strict=False)))[:limit]


def word_count(text: str | None, limit: int) -> float | None:
    return None if text is None else float(len(split(text)))


def phrase(text: str | None, limit: int) -> str | None:
    """All words, one space between them; empty for a text without any."""
    return None if text is None else " ".join(split(text))


def last_word(text: str | None, limit: int) -> str | None:
    """Null for a text without words."""
    every = split(text or "")
    return every[-1] if every else None


TEXTS: dict[str, Callable[[str | None, int], Value]] = {
    "words": words, "bigrams": bigrams, "word_count": word_count, "phrase": phrase, "last_word": last_word,
}  # fmt: skip
