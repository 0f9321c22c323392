"""The stream that training learns from: some days of a group table, in a seeded order, as batches.

A plan of buffers (training/plan.py), each read, mapped to rows and dealt to batches (training/shuffle.py) here or in
worker processes. The stream is a function of the table's version and the seed: neither the number of workers nor where
it was resumed changes a bit of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from deltalake import DeltaTable
from torch.utils.data import DataLoader

from contracts.features import feature_set
from contracts.rows import RowMap
from training.batch import Batch, Position
from training.buffers import Buffers
from training.groups import Decoder, Side
from training.plan import Part, plan, share, source
from training.prefetch import Prefetch
from training.recipes import Grouping, Recipe
from training.shuffle import Buffer, Deal, Piece

SIDES: dict[Grouping, Side] = {"ad": "ad", "user": "user", "none": "ad"}
TABLES: dict[Grouping, str] = {grouping: f"{side}_groups" for grouping, side in SIDES.items()}


class Reader:
    """Batches of some days of a group table, at the version that `table` was opened at.

    `days`, `version`, `impressions`: what an epoch reads (of all ranks together), for the manifest. Raises InputError
    for a day without groups, MissingArtifact for a file that is gone.
    """

    def __init__(
        self, table: DeltaTable, days: Sequence[str], recipe: Recipe, maps: Mapping[str, RowMap], seed: int,
        rank: int = 0, world: int = 1,
    ):  # fmt: skip
        self.source = source(table, days)
        self.days, self.version, self.impressions = self.source.days, self.source.version, self.source.impressions
        self.recipe, self.maps, self.seed, self.rank, self.world = recipe, maps, seed, rank, world

    def dealt(self, epoch: int) -> tuple[list[list[Part]], range]:
        """The epoch's plan and the buffers of it that this rank reads."""
        buffers = plan(self.source.row_groups, self.recipe.buffer_impressions, self.seed, epoch, self.world)
        return buffers, share(len(buffers), self.rank, self.world)

    def share_impressions(self, epoch: int) -> int:
        """About how many impressions this rank reads: a part of a row group counts by its groups."""
        buffers, own = self.dealt(epoch)
        parts = [part for number in own for part in buffers[number]]
        return round(sum((part.stop - part.start) * part.of.impressions / part.of.rows for part in parts))

    def buffers(self, epoch: int, start: Position | None = None) -> Iterator[Buffer]:
        """The rank's buffers, from that of `start` on: what lies before it is not read."""
        if start is not None and start.epoch != epoch:
            raise ValueError(f"epoch {epoch} cannot go on at {start}")
        planned, own = self.dealt(epoch)
        todo = [number for number in own if start is None or number >= start.buffer]
        recipe = self.recipe
        how = Deal(
            recipe.grouping, recipe.pictures_per_batch, recipe.impressions_per_picture, recipe.unknown_ad_share
        )
        persons = recipe.loss == "pairwise"
        decoder = Decoder(feature_set(recipe.feature_set), self.maps, SIDES[recipe.grouping], persons)
        dataset = Buffers(self.source, planned, decoder, how, self.seed, epoch)
        workers = min(recipe.loader_workers, len(todo))
        # deltalake and Arrow have threads of their own: a forked worker could hang on a lock that one of them held.
        many: dict[str, Any] = {"multiprocessing_context": "spawn", "prefetch_factor": 1} if workers else {}
        own_draws = torch.Generator()  # a loader draws a number: not from the generator that training goes on with
        return iter(DataLoader(dataset, None, sampler=todo, num_workers=workers, generator=own_draws, **many))

    def pieces(self, epoch: int, start: Position | None = None) -> Iterator[Piece]:
        """The rank's batches in order, not yet taken from their buffers; from `start` on.

        The buffer after this one is made meanwhile, by a thread or by the workers.
        """
        buffers = self.buffers(epoch, start)
        with nullcontext(buffers) if self.recipe.loader_workers else Prefetch(buffers, lambda one: one, 1) as made:
            for buffer in made:
                first = start.batch if start is not None and start.buffer == buffer.number else 0
                for at in range(first, len(buffer)):
                    yield Piece(buffer, at)

    def batches(self, epoch: int, start: Position | None = None) -> Iterator[Batch]:
        return (piece.batch() for piece in self.pieces(epoch, start))
