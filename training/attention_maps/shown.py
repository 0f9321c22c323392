"""Which ads and categories are drawn: those that were shown most on a day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from contracts import paths
from contracts.delta_dataset import dataset
from contracts.errors import InputError
from contracts.hashing import code
from contracts.rows import UNKNOWN, RowMap
from contracts.settings import Settings
from training.model import category_rows
from training.reader import open_table

KEYS = ["ad_id", "image", "c_category_id"]


@dataclass(frozen=True)
class Ad:
    ad_id: str
    image: str
    category: int


def most_shown(
    settings: Settings, day: str, maps: Mapping[str, RowMap], ads: int, others: int
) -> tuple[list[Ad], list[int]]:
    """`ads` ads with a picture, of as many categories as there are, by impressions; and the codes of `others` + 1
    categories, by impressions: one of them may be an ad's own.

    Raises InputError where the day has no such ad, or too few categories that the model knows.
    """
    parts, columns = [], [*KEYS, "impressions"]
    for batch in dataset(open_table(paths.table(settings, "ad_groups")), [day]).to_batches(columns=columns):
        size = pc.list_value_length(batch.column("impressions"))
        parts.append(pa.table({**{key: batch.column(key) for key in KEYS}, "size": size}))
    counted = pa.concat_tables(parts).group_by(KEYS).aggregate([("size", "sum")]).to_pylist() if parts else []
    rows = sorted(counted, key=lambda row: (-row["size_sum"], row["ad_id"]))
    known = (category_rows(maps, [row["c_category_id"] for row in rows]) != UNKNOWN).tolist()
    found: list[Ad] = []
    weight: Counter[int] = Counter()
    for row, has_row in zip(rows, known, strict=True):
        if has_row and row["image"] and (paths.images(settings) / f"{row['image']}.jpg").is_file():
            found.append(Ad(row["ad_id"], row["image"], row["c_category_id"]))
            weight[row["c_category_id"]] += row["size_sum"]
    if not found or len(weight) <= others:
        raise InputError(
            f"ad_groups of {day} holds {len(found)} ads with a picture file, of {len(weight)} categories that the "
            f"model knows; at least 1 and {others + 1} are needed. Take another day, or fewer --others"
        )
    before: Counter[int] = Counter()
    turn = {}
    for ad in found:  # an ad's turn: how many of its category come before it
        turn[ad], before[ad.category] = before[ad.category], before[ad.category] + 1
    chosen = sorted(found, key=lambda ad: turn[ad])[:ads]
    return chosen, [category for category, _ in weight.most_common(others + 1)]


def names(settings: Settings, day: str, categories: Sequence[int]) -> dict[int, str]:
    """What people call them, from the catalogue of `day`; a code's first digits where it is not at hand."""
    told = {category: f"category {category % 2**64:016x}"[:13] for category in categories}
    try:
        table = DeltaTable(paths.table(settings, "ads"))
    except TableNotFoundError:
        return told
    for batch in dataset(table, [day]).to_batches(columns=["category_id"]):
        for name in batch.column("category_id").unique().to_pylist():
            found = code(name)
            if found is not None and found in told:
                told[found] = str(name)
    return told
