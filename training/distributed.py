"""Several processes train one model: `torchrun -m training train --day D`; gloo on CPUs, NCCL on GPUs.

Dense weights go through DistributedDataParallel. Embeddings do not: only the rows of a batch have a gradient, and those
rows are exchanged, each process then making the same update. Here is the seam for sharded tables (TorchRec): whoever
owns the embeddings replaces `exchange_rows`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from contracts.errors import PrerequisiteError


@dataclass(frozen=True)
class World:
    """This process among `size` others, and the device it computes on."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def total(self, *values: float) -> list[float]:
        """The sum of each value over all processes."""
        if self.size == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(summed)
        return summed.tolist()

    def added(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sum over all processes, exact: integers of 64 bits."""
        if self.size == 1:
            return counts
        summed = torch.from_numpy(counts).to(self.device)
        dist.all_reduce(summed)
        return summed.cpu().numpy()

    def from_first(self, tensors: Iterable[Tensor]) -> None:
        """Every process's become the first one's."""
        for tensor in tensors if self.size > 1 else ():
            dist.broadcast(tensor.data, 0)

    def gathered(self, values: Sequence[int]) -> list[list[int]]:
        """These numbers of every process, in the order of ranks."""
        if self.size == 1:
            return [list(values)]
        own = torch.tensor(values, dtype=torch.int64, device=self.device)
        every = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(every, own)
        return [one.tolist() for one in every]

    def union(self, own: set[int]) -> set[int]:
        """What any process has. (Pickled on the way, among the processes of this one training.)"""
        every: list[set[int]] = [own] * self.size
        if self.size > 1:
            dist.all_gather_object(every, own)
        return set().union(*every)

    def wait(self) -> None:
        if self.size > 1:
            dist.barrier()


def enter(device: str) -> World:
    """The world that torchrun made, or a world of one. Raises PrerequisiteError for a GPU that is not there."""
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda" and torch.cuda.device_count() <= local:
        raise PrerequisiteError(
            f"the setting device is cuda (ADLENS_DEVICE), but this process sees {torch.cuda.device_count()} GPUs and "
            f"wants number {local}; give it one, or set device to cpu"
        )
    here = torch.device(device, local) if device == "cuda" else torch.device(device)
    if device == "cuda":
        torch.cuda.set_device(here)
    if size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
    return World(here, dist.get_rank() if size > 1 else 0, size)


def leave(world: World) -> None:
    if world.size > 1:
        dist.destroy_process_group()


def shared(net: nn.Module, embeddings: Sequence[nn.Parameter], world: World) -> nn.Module:
    """`net` with its dense gradients averaged over the processes; itself in a world of one."""
    if world.size == 1:
        return net
    own = {id(parameter) for parameter in embeddings}
    names = [name for name, parameter in net.named_parameters() if id(parameter) in own]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(net, names)
    world.from_first(embeddings)
    if world.device.type == "cuda":
        net = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    return DistributedDataParallel(net)


def exchange_rows(embeddings: Sequence[nn.Parameter], world: World) -> None:
    """Each sparse gradient becomes the mean over the processes, three exchanges for all tables together."""
    if world.size == 1:
        return
    gradients = [_sparse(parameter) for parameter in embeddings]
    counts = world.gathered([gradient.indices().shape[1] for gradient in gradients])
    rows = _every(torch.cat([gradient.indices()[0] for gradient in gradients]), counts, [1] * len(gradients), world)
    wide = [parameter.shape[1] for parameter in embeddings]
    values = _every(torch.cat([gradient.values().flatten() for gradient in gradients]), counts, wide, world)
    for at, parameter in enumerate(embeddings):
        index = torch.cat([of_rank[at] for of_rank in rows])
        value = torch.cat([of_rank[at] for of_rank in values]).view(-1, wide[at]) / world.size
        parameter.grad = torch.sparse_coo_tensor(index[None], value, parameter.shape, check_invariants=False)


def _sparse(parameter: nn.Parameter) -> Tensor:
    """The gradient, empty where the batch had none."""
    if parameter.grad is None:
        index = torch.zeros(1, 0, dtype=torch.int64, device=parameter.device)
        return torch.sparse_coo_tensor(index, parameter.new_zeros(0, parameter.shape[1]), parameter.shape).coalesce()
    return parameter.grad.coalesce()


def _every(own: Tensor, counts: list[list[int]], wide: Sequence[int], world: World) -> list[list[Tensor]]:
    """Rank -> table -> its part of what that rank sent; lengths differ, so all send as much as the longest."""
    lengths = [[count * width for count, width in zip(of_rank, wide, strict=True)] for of_rank in counts]
    longest = max(map(sum, lengths))
    padded = torch.cat([own, own.new_zeros(longest - len(own))])
    received = [torch.empty_like(padded) for _ in range(world.size)]
    dist.all_gather(received, padded)
    return [
        list(part[: sum(length)].split(length)) for part, length in zip(received, lengths, strict=True)
    ]
