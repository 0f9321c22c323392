"""The catalogue at the end of a day, read a batch at a time, and its lookup table written a part at a time.

What is held for n ads: a few arrays of 8 bytes an ad, a few more while tomorrow is estimated; never their vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray

from contracts.delta_dataset import dataset
from contracts.errors import DamagedArtifact, MissingArtifact
from contracts.hashing import code
from contracts.paths import table
from contracts.settings import Settings
from release import delta
from release.lookup.vectors import FALLBACK, Pair, Vectors, key_of
from serving.table import ROWS_AT_ONCE, Codec, Codes, VisualTable, codes_of, open_table, table_writer

NO_CATEGORY = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Catalogue:
    """`codes`, `keys` (of the pairs) and `categories`: int64 [n], in the order in which the table is read."""

    day: str
    codes: Codes
    keys: Codes
    categories: Codes


@dataclass(frozen=True)
class Computed:
    """What embedding a catalogue took; `lacking`: pictures that could not be read."""

    pairs: int
    computed: int
    lacking: list[str]

    @property
    def reused(self) -> int:
        return self.pairs - self.computed


def ads_table(settings: Settings) -> DeltaTable:
    return delta.opened(table(settings, "ads"), "the stage impressions")


def day_before(day: str, days: int = 1) -> str:
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()


def batches(ads: DeltaTable, day: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The day's rows, in the same order for the same files. Delta's log is read at once, the rows as they are taken."""
    rows = dataset(ads, [day])
    fragments = sorted(rows.get_fragments(), key=lambda one: one.path)
    return (
        batch
        for fragment in fragments
        for batch in fragment.to_batches(columns=columns, use_threads=False, schema=rows.schema)
    )


def _pairs(batch: pa.RecordBatch) -> list[Pair]:
    categories = batch.column("category_id").to_pylist()
    known = {category: code(category) for category in set(categories)}
    return list(zip(batch.column("image").to_pylist(), (known[one] for one in categories), strict=True))


def read(ads: DeltaTable, day: str) -> Catalogue:
    """Raises MissingArtifact for a day without a catalogue."""
    codes: list[Codes] = []
    keys: list[Codes] = []
    categories: list[Codes] = []
    for batch in batches(ads, day, ["ad_id", "image", "category_id"]):
        pairs = _pairs(batch)
        codes.append(codes_of(batch.column("ad_id").to_pylist()))
        keys.append(np.array([key_of(pair) for pair in pairs], np.int64))
        categories.append(np.array([NO_CATEGORY if c is None else c for _, c in pairs], np.int64))
    if not sum(map(len, codes)):
        raise MissingArtifact(f"the table ads holds no catalogue of {day}; run the stage impressions for that day")
    return Catalogue(day, *(np.concatenate(parts) for parts in (codes, keys, categories)))


def pairs_of(ads: DeltaTable, day: str, ids: list[str]) -> dict[str, Pair]:
    """Picture and category of those ads that are in the day's catalogue."""
    columns = ["ad_id", "image", "category_id"]
    found = dataset(ads, [day]).to_table(columns=columns, filter=pc.field("ad_id").isin(ids))
    return {
        ad: pair
        for batch in found.to_batches()
        for ad, pair in zip(batch.column("ad_id").to_pylist(), _pairs(batch), strict=True)
    }


def some_pairs(ads: DeltaTable, day: str, visual: VisualTable, most: int) -> dict[str, Pair]:
    """The same of at most so many ads of the catalogue that are in a table; the first ones."""
    found: dict[str, Pair] = {}
    for batch in batches(ads, day, ["ad_id", "image", "category_id"]):
        ids = batch.column("ad_id").to_pylist()
        rows = np.flatnonzero(visual.of_codes(codes_of(ids))[1])[: most - len(found)]
        taken = batch.take(pa.array(rows))
        found |= dict(zip(taken.column("ad_id").to_pylist(), _pairs(taken), strict=True))
        if len(found) >= most:
            break
    return found


def unchanged(ads: DeltaTable, ids: list[str], day: str) -> NDArray[np.bool_]:
    """Which ads have the same picture and category at the end of `day` as at its start."""
    before, after = (pairs_of(ads, one, sorted(set(ids))) for one in (day_before(day), day))
    return np.array([ad in before and before[ad] == after.get(ad) for ad in ids], np.bool_)


def embed(catalogue: Catalogue, ads: DeltaTable, vectors: Vectors) -> Computed:
    """Makes `vectors` know every pair of the catalogue, and the fallback's. Equal pairs are computed once."""
    distinct, first = np.unique(catalogue.keys, return_index=True)
    known = vectors.of(distinct)[1]
    rows = np.sort(first[~known])

    def missing() -> Iterator[Pair]:
        begun = 0
        for batch in batches(ads, catalogue.day, ["image", "category_id"]):
            here = rows[(rows >= begun) & (rows < begun + len(batch))] - begun
            yield from _pairs(batch.take(pa.array(here)))
            begun += len(batch)

    lacking = vectors.compute(catalogue.keys[rows], missing())
    fallback = np.array([key_of(FALLBACK)], np.int64)
    new = not vectors.of(fallback)[1][0]
    if new:
        vectors.compute(fallback, [FALLBACK])
    return Computed(len(distinct) + 1, len(rows) + new, lacking)


def write(
    path: Path, catalogue: Catalogue, expected: NDArray[np.float64], inside: NDArray[np.bool_], vectors: Vectors,
    codec: Codec, about: dict[str, Any],
) -> VisualTable:  # fmt: skip
    """The lookup table of the ads that are `inside`. Everything of its size is read and written a part at a time.

    The fallback of an ad outside is the mean vector of its category, weighted by expected impressions: of the
    category's ads outside where it has some, for it is they who get it, else of all. An ad of which no category is
    known gets the vector of the reserved picture without one: what training showed the model for such an ad.
    """
    order = np.flatnonzero(inside)[np.argsort(catalogue.codes[inside])]
    codes = catalogue.codes[order]
    if bool(np.any(codes[1:] == codes[:-1])):
        raise DamagedArtifact(f"the catalogue of {catalogue.day} names an ad twice, or two ads share a hash")
    categories = np.unique(catalogue.categories)
    categories = categories[categories != NO_CATEGORY]
    writer = table_writer(path, codec, codec.shapes(len(codes), vectors.dimension, len(categories)), about)
    into = writer.arrays
    into["codes"][:], into["categories"][:] = codes, categories
    for at in range(0, len(order), ROWS_AT_ONCE):
        keys = catalogue.keys[order[at : at + ROWS_AT_ONCE]]
        into["vectors"][at : at + len(keys)] = codec.stored(vectors.of(keys)[0])
    into["vectors"][-1] = codec.stored(vectors.of(np.array([key_of(FALLBACK)], np.int64))[0])[0]
    if len(categories):
        into["fallbacks"][:] = codec.reduced(_means(catalogue, expected, inside, vectors, categories))
    return open_table(writer.finish())


def _means(
    catalogue: Catalogue, expected: NDArray[np.float64], inside: NDArray[np.bool_], vectors: Vectors, categories: Codes
) -> NDArray[np.float32]:
    """float32 [m, d_v]."""
    of = np.searchsorted(categories, catalogue.categories)
    has = catalogue.categories != NO_CATEGORY
    some_outside = np.bincount(of[has & ~inside], minlength=len(categories)) > 0
    counted = np.flatnonzero(has)
    counted = counted[~inside[counted] | ~some_outside[of[counted]]]
    total, weights = np.zeros((len(categories), vectors.dimension)), np.zeros(len(categories))
    for at in range(0, len(counted), ROWS_AT_ONCE):
        rows = counted[at : at + ROWS_AT_ONCE]
        weight = expected[rows] + 1e-9  # a category that nobody expects has a mean too
        np.add.at(total, of[rows], weight[:, None] * vectors.of(catalogue.keys[rows])[0])
        np.add.at(weights, of[rows], weight)
    return (total / weights[:, None]).astype(np.float32)
