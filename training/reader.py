"""Streams `ad_groups` day by day with deltalake: no Spark, memory bounded by the shuffle buffer.

An epoch takes the days in a seeded shuffled order, fills a buffer with their groups, and empties it in batches of
pictures: an ad's impressions in the buffer are dealt in slices, so that a batch holds many impressions of few pictures
and each picture is embedded once a batch, however many groups it came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from numpy.typing import NDArray

from contracts.artifacts import digest
from contracts.days import training_days
from contracts.delta_dataset import dataset
from contracts.errors import InputError, MissingArtifact
from contracts.features import Feature, feature_set
from training.columns import Impressions, concatenate, flatten, group_columns

GROUPS_AT_ONCE = 1_024
DAILY = feature_set("daily")


@dataclass(frozen=True)
class Ads:
    """The pictures of a batch, each once: digest (or None) and category code (or None)."""

    image: list[str | None]
    category: list[int | None]


@dataclass(frozen=True)
class Batch:
    """`ad_of` [N]: index into `ads` of each impression."""

    ads: Ads
    ad_of: NDArray[np.int64]
    impressions: Impressions


def open_table(address: str) -> DeltaTable:
    """Raises MissingArtifact where no Delta table is."""
    try:
        return DeltaTable(address)
    except TableNotFoundError:
        raise MissingArtifact(f"no Delta table at {address}; run the stage `groups` first") from None


def days_with_groups(table: DeltaTable) -> list[str]:
    return sorted({partition["day"] for partition in table.partitions()})


def training_interval(table: DeltaTable, day: date, window: int, minimum: int) -> list[str]:
    """Rule 4: the days with groups in [day - window, day). `day` itself is never among them.

    Raises InputError for fewer than `minimum` days.
    """
    wanted = training_days(day, window)
    inside = [text for text in days_with_groups(table) if date.fromisoformat(text) in wanted]
    if len(inside) < minimum:
        raise InputError(
            f"run {day} trains on [{wanted.start}, {wanted.end}); ad_groups holds {len(inside)} of these days, "
            f"at least {minimum} are needed (setting min_training_days). Build more days of groups or run a later day"
        )
    return inside


def fingerprint(table: DeltaTable, days: Sequence[str]) -> str:
    """Digest of the files that hold these days: other days' commits do not change it (manifests keep the version)."""
    root = table.table_uri.rstrip("/")
    files = {day: table.file_uris(file_pruning_predicate=[("day", "=", day)]) for day in days}
    return digest({day: sorted(uri.split(root)[-1] for uri in found) for day, found in files.items()})


def chunks(table: DeltaTable, day: str, features: Sequence[Feature] = DAILY) -> Iterator[Impressions]:
    """The day's impressions, `GROUPS_AT_ONCE` groups at a time, in the same order each time for the same files.

    Only the columns that `features` need are read, whatever more the table holds. Raises MissingArtifact where it
    lacks one.
    """
    rows = dataset(table, [day])
    columns = group_columns(features, rows.schema.names)
    for fragment in sorted(rows.get_fragments(), key=lambda f: f.path):
        for groups in fragment.to_batches(
            columns=columns, batch_size=GROUPS_AT_ONCE, use_threads=False, schema=rows.schema
        ):
            if len(groups):
                yield flatten(groups, features)


def ads_of(impressions: Impressions) -> tuple[Ads, NDArray[np.int64]]:
    """The distinct (picture, category) pairs and each impression's index among them."""
    category = impressions.codes["category_id"]
    index: dict[tuple[str | None, int | None], int] = {}
    pairs = zip(impressions.image.tolist(), category.codes.tolist(), category.present.tolist(), strict=True)
    ad_of = np.fromiter(
        (index.setdefault((image, int(code) if known else None), len(index)) for image, code, known in pairs),
        np.int64,
        len(impressions),
    )
    return Ads([image for image, _ in index], [code for _, code in index]), ad_of


def day_batches(table: DeltaTable, day: str, features: Sequence[Feature] = DAILY) -> Iterator[Batch]:
    """A day for evaluation, in the table's order."""
    for impressions in chunks(table, day, features):
        yield Batch(*ads_of(impressions), impressions)


def epoch(
    table: DeltaTable, days: Sequence[str], seed: int, buffer: int, pictures: int, share: int,
    features: Sequence[Feature] = DAILY,
) -> Iterator[Batch]:
    """One pass over the days. `pictures` slices a batch, each of at most `share` impressions of one ad."""
    random = np.random.default_rng(seed)
    held: list[Impressions] = []
    for day in random.permutation(sorted(days)):
        for chunk in chunks(table, str(day), features):
            held.append(chunk)
            if sum(map(len, held)) >= buffer:
                yield from _empty(concatenate(held), random, pictures, share)
                held = []
    if held:
        yield from _empty(concatenate(held), random, pictures, share)


def _empty(held: Impressions, random: np.random.Generator, pictures: int, share: int) -> Iterator[Batch]:
    _, ad = ads_of(held)
    order = np.lexsort((random.random(len(ad)), ad))  # by ad, shuffled within
    sizes = np.bincount(ad)
    place = np.arange(len(ad)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    slice_of = ad[order] * (sizes.max() // share + 1) + place // share
    starts = np.flatnonzero(np.r_[True, slice_of[1:] != slice_of[:-1]])
    slices = np.split(order, starts[1:])
    shuffled = random.permutation(len(slices))
    # Equal batches: a last batch of one picture would ruin BatchNorm's statistics.
    for part in np.array_split(shuffled, max(1, round(len(slices) / pictures))):
        impressions = held.take(np.concatenate([slices[at] for at in part]))
        yield Batch(*ads_of(impressions), impressions)
