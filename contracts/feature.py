"""What a feature is: one declaration that every stage reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Field = Literal["Ad", "User", "Time", "Text", "History"]
FIELDS: tuple[Field, ...] = ("Ad", "User", "Time", "Text", "History")  # CSCNN's Table 7
Kind = Literal["categorical", "numeric", "multi_hot", "sequence", "cross"]
Side = Literal["ad", "user", "context", "pair", "cross"]

HOW = {
    # of one landed column
    "copy": "as it landed",
    "words": "the first distinct words, ASCII lower case",
    "bigrams": "the first distinct pairs of neighbouring words",
    "word_count": "number of words",
    "phrase": "all words, one space between them",
    "last_word": "the last word",
    "band": "floor(2 log2(1 + x)) as text, null below 0 and from 10^15 on",
    "present": "yes or no: is there one",
    # of the day's catalogue
    "group_size": "ads of the catalogue with the same value",
    "over_mean": "the ad's price divided by the mean price of the same value",
    # of the look-back
    "listed": "in how many of the last folders' files the entity stood",
    "ctr": "(clicks + 1) / (impressions + 10) by the folder that the click landed in, null if never shown",
    "acted": "number of behaviours before the stamp",
    "recent": "of the last behaviours before the stamp, newest first, by the catalogue of their folder",
    # of the request
    "hour": "0-23 in the business time zone",
    "weekday": "1 Monday ... 7 Sunday in the business time zone",
    "day_of_month": "1-31 in the business time zone",
    # of two features' codes
    "matches": "what both hold",
    "match_count": "how many of the first are in the second",
    "match_share": "which share of the first is in the second",
    "cross": "both codes mixed into one",
}


@dataclass(frozen=True)
class Transform:
    """How a value is made: `how` is a key of HOW.

    `of`: the landed column that is read or counted by. `folders`: the look-back, the snapshot's own folder included.
    `behaviour`: the kind that is counted, all kinds where it is empty.
    """

    how: str
    of: str = ""
    folders: int = 0
    behaviour: str = ""

    def __str__(self) -> str:
        told = [self.of, self.behaviour, f"{self.folders} folder{'s' * (self.folders > 1)}" if self.folders else ""]
        return f"{self.how}({', '.join(part for part in told if part)})"


NOTHING = Transform("")


@dataclass(frozen=True)
class Feature:
    """`size`: rows of the embedding (hash size, or number of quantile bins for numeric), the two reserved included.

    `encoding`: how the model owns its rows: `hash`, `vocabulary` (codes seen at least min_count times) or `bins`.
    `of`: the two categorical features of a cross, or the two features whose codes a pair's is made of.
    `source`: the landed columns that the value is made from, as `<file>.<column>`.
    """

    name: str
    field: Field
    side: Side
    kind: Kind
    encoding: Literal["hash", "vocabulary", "bins"]
    size: int
    description: str
    limit: int = 1  # longest list of a multi_hot or sequence
    min_count: int = 1
    of: tuple[str, ...] = ()
    dimension: int = 4  # CSCNN: 4 a feature
    owner: str = "ads-ranking"
    source: tuple[str, ...] = ()
    transform: Transform = NOTHING


def to_json(feature: Feature) -> dict[str, Any]:
    """The declaration as a bundle keeps it."""
    return asdict(feature)


def from_json(told: Mapping[str, Any]) -> Feature:
    lists = {name: tuple(told[name]) for name in ("of", "source")}
    return Feature(**{**told, **lists, "transform": Transform(**told["transform"])})


def code_type(feature: Feature) -> str:
    """Spark type of a feature's code column: null where the value is missing."""
    if feature.kind == "numeric":
        return "double"
    return "array<bigint>" if feature.kind in ("multi_hot", "sequence") else "bigint"


def value_type(feature: Feature) -> str:
    """Spark type of a feature's value column in a snapshot table."""
    if feature.kind == "numeric":
        return "double"
    return "array<string>" if feature.kind in ("multi_hot", "sequence") else "string"
