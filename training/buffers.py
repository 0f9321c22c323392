"""An epoch's buffers by number, for a DataLoader: any process makes any buffer, and always the same one."""

from __future__ import annotations

from collections.abc import Sequence

from torch.utils.data import Dataset

from training.batch import concatenate
from training.groups import Decoder
from training.plan import Part, Source
from training.row_groups import Cursors
from training.shuffle import Buffer, Deal, deal


class Buffers(Dataset[Buffer]):
    """What a worker process is sent: addresses and row maps, no open file."""

    def __init__(
        self, source: Source, plan: Sequence[Sequence[Part]], decoder: Decoder, how: Deal, seed: int, epoch: int
    ):
        self.source, self.plan, self.decoder, self.how = source, plan, decoder, how
        self.seed, self.epoch = seed, epoch
        self.cursors: Cursors | None = None

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> Buffer:
        if self.cursors is None:
            self.cursors = Cursors(self.source, *self.decoder.wanted())
        chunks = [self.decoder.decode(groups) for groups in self.cursors.read(self.plan[number])]
        return deal(concatenate(chunks), self.how, self.seed, self.epoch, number)
