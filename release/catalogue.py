"""The catalogue at the end of a day, and its lookup table: each ad's code beside its vector."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from deltalake import DeltaTable

from contracts.errors import MissingArtifact
from contracts.hashing import code
from contracts.paths import table
from contracts.settings import Settings
from release import delta
from release.vectors import FALLBACK, Pair, embedded
from serving.table import VisualTable, codes_of


@dataclass(frozen=True)
class Built:
    """`ad_ids` in the order of the table's codes."""

    ad_ids: list[str]
    table: VisualTable
    pairs: int
    computed: int
    reused: int


def ads_table(settings: Settings) -> DeltaTable:
    return delta.opened(table(settings, "ads"), "the stage impressions")


def day_before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


def read_pairs(ads: DeltaTable, day: str) -> tuple[list[str], list[Pair]]:
    """(ad ids, their (picture, category) pairs) of the catalogue at the end of `day`, ordered by the ids' codes."""
    rows = delta.partitions(ads, [day]).select(["ad_id", "image", "category_id"])
    if rows.num_rows == 0:
        raise MissingArtifact(f"the table ads holds no catalogue of {day}; run the stage impressions for that day")
    ids = rows.column("ad_id").to_pylist()
    order = np.argsort(codes_of(ids), kind="stable")
    pictures, categories = rows.column("image").to_pylist(), rows.column("category_id").to_pylist()
    return [ids[at] for at in order], [(pictures[at], code(categories[at])) for at in order]


def build(model: Path, ads: DeltaTable, day: str, settings: Settings) -> Built:
    """The lookup table of a day's catalogue by a model (its folder). Equal pairs are embedded once.

    The fallback of an ad outside the table is the vector of the reserved picture without a category: it is what the
    model saw in training for an ad that had just entered.
    """
    ids, pairs = read_pairs(ads, day)
    distinct = list(dict.fromkeys([*pairs, FALLBACK]))
    found = embedded(model, distinct, settings)
    at = {pair: index for index, pair in enumerate(distinct)}
    vectors = found.vectors[[at[pair] for pair in [*pairs, FALLBACK]]]
    visual = VisualTable(codes_of(ids), vectors)
    return Built(ids, visual, len(distinct), found.computed, found.reused)
