"""What an epoch reads, in which order: from the files' footers only, a function of the table's version and the seed.

Rows of a day lie by ad, so whole days one after another would be a poor shuffle. Row groups are shuffled across days
and dealt to spans of at least MIXED; a span is cut into buffers, each of which takes another part of every row group of
the span. So a buffer holds parts of many days, and the next one reads on in the same row groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow.fs import FileSystem

from contracts.delta_dataset import dataset
from contracts.errors import InputError, MissingArtifact
from training.reader import name_of

MIXED = 8  # row groups that a buffer mixes, where there are as many
MORE = 1.1  # a buffer may be larger by this, before a span is cut once more
FOOTERS_AT_ONCE = 16
ORDER = 1  # what a generator is for, beside (seed, epoch): no two draw the same numbers


@dataclass(frozen=True)
class RowGroup:
    """`rows`: groups in it. `impressions`: of all of them (an empty group would count as one)."""

    day: str
    path: str
    number: int
    rows: int
    impressions: int


@dataclass(frozen=True)
class Part:
    """Rows [start, stop) of a row group."""

    of: RowGroup
    start: int
    stop: int


@dataclass(frozen=True)
class Source:
    """The files of some days of a table at one version; commits that come later change nothing. It can be pickled."""

    name: str
    version: int
    days: tuple[str, ...]
    files: FileSystem
    row_groups: tuple[RowGroup, ...]

    @property
    def impressions(self) -> int:
        return sum(row_group.impressions for row_group in self.row_groups)


def source(table: DeltaTable, days: Sequence[str]) -> Source:
    """Raises InputError for a day without groups, MissingArtifact where a file of the version is gone."""
    name, version = name_of(table), table.version()
    fragments = sorted(dataset(table, sorted(days)).get_fragments(), key=lambda fragment: fragment.path)

    def footer(fragment: ds.ParquetFileFragment) -> list[RowGroup]:
        day = str(ds.get_partition_keys(fragment.partition_expression)["day"])
        try:
            metadata = fragment.metadata
        except FileNotFoundError:
            raise gone(name, version, day, fragment.path) from None
        counted = (_counts(metadata.row_group(number)) for number in range(metadata.num_row_groups))
        return [RowGroup(day, fragment.path, number, *counts) for number, counts in enumerate(counted)]

    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        row_groups = tuple(found for one in pool.map(footer, fragments) for found in one if found.rows)
    empty = sorted(set(days) - {row_group.day for row_group in row_groups})
    if empty or not row_groups:
        raise InputError(
            f"{name} at version {version} holds no groups of {', '.join(empty) or 'no day at all'}; a day that is "
            "trained on has at least one. Run the stage `groups` for it, or train on days that have some"
        )
    return Source(name, version, tuple(sorted(days)), fragments[0].filesystem, row_groups)


def gone(name: str, version: int, day: str, path: str) -> MissingArtifact:
    return MissingArtifact(
        f"{name} at version {version} has lost {path} of {day}: a newer version replaced the file and it was removed "
        "since (setting vacuum_hours). Start again from the newest version; if that names it too, rebuild the day"
    )


def _counts(metadata: Any) -> tuple[int, int]:
    """Rows and impressions: a leaf below `impressions` has a value for each."""
    columns = (metadata.column(at) for at in range(metadata.num_columns))
    labels = (column for column in columns if column.path_in_schema.split(".")[::3] == ["impressions", "label"])
    return metadata.num_rows, next(labels).num_values


def plan(row_groups: Sequence[RowGroup], buffer: int, seed: int, epoch: int, world: int = 1) -> list[list[Part]]:
    """The epoch's buffers, of about `buffer` impressions and at least one for each of `world` ranks."""
    random = np.random.default_rng([seed, epoch, ORDER])
    total = sum(row_group.impressions for row_group in row_groups)
    most = MORE * buffer if world == 1 else min(MORE * buffer, total / world)
    spans = max(1, min(int(MORE * total / most), len(row_groups) // MIXED))
    order = random.permutation(len(row_groups))
    buffers = []
    for first in range(spans):
        span = [row_groups[at] for at in order[first::spans]]
        count = ceil(sum(row_group.impressions for row_group in span) / most)
        # An ad lies at about the same place of every day: each row group is entered at another place.
        enters = random.integers(count, size=len(span))
        for at in range(count):
            parts = [_part(one, (at + int(enter)) % count, count) for one, enter in zip(span, enters, strict=True)]
            buffers.append([part for part in parts if part.start < part.stop])
    return [parts for parts in buffers if parts]


def _part(row_group: RowGroup, at: int, count: int) -> Part:
    return Part(row_group, row_group.rows * at // count, row_group.rows * (at + 1) // count)


def share(buffers: int, rank: int, world: int) -> range:
    """The buffers of a rank: neighbours, which read on in the same row groups; ranks differ by at most one.

    Raises InputError where a rank would have none.
    """
    if buffers < world:
        raise InputError(
            f"{buffers} buffers for {world} processes: the window holds too few groups; start at most {buffers}"
        )
    return range(buffers * rank // world, buffers * (rank + 1) // world)
