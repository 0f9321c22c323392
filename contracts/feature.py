"""What a feature is: one declaration that every stage reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Field = Literal["Ad", "User", "Time", "Text", "History"]
FIELDS: tuple[Field, ...] = ("Ad", "User", "Time", "Text", "History")  # CSCNN's Table 7
Kind = Literal["categorical", "numeric", "multi_hot", "sequence", "cross"]
Side = Literal["ad", "user", "context", "cross"]


@dataclass(frozen=True)
class Feature:
    """`size`: rows of the embedding (hash size, or number of quantile bins for numeric), the two reserved included.

    `encoding`: how the model owns its rows: `hash`, `vocabulary` (codes seen at least min_count times) or `bins`.
    `of`: the two categorical features of a cross.
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
