"""A training that was stopped goes on exactly where it was: safetensors, replaced as a whole.

`<folder>/step-<n>/<rank>.safetensors` and, written last, `latest.json`. A process keeps its random generator, its
position in the stream and its counters; the first one also keeps weights, buffers and the optimisers' state. Bytes: 4 a
dense weight and 8 for Adam's moments; an embedding row of dimension d takes 4 d + 4.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from contracts.artifacts import write_atomically
from contracts.errors import DamagedArtifact, SettingsError
from training.distributed import World

LATEST = "latest.json"
Optimisers = Mapping[str, torch.optim.Optimizer]


@dataclass(frozen=True)
class Kept:
    """What `restore` gives back of what `save` was told."""

    tensors: dict[str, Tensor]
    facts: Any


@dataclass(frozen=True)
class Checkpoints:
    """Those of one training; its folder is named by the digest of what goes into the model."""

    folder: Path
    world: World

    def save(self, step: int, net: nn.Module, optimisers: Optimisers, kept: Kept) -> None:
        where = self.folder / f"step-{step}"
        where.mkdir(parents=True, exist_ok=True)
        tensors = {f"kept.{name}": value for name, value in kept.tensors.items()}
        tensors["generator.cpu"] = torch.get_rng_state()
        if self.world.device.type == "cuda":
            tensors["generator.cuda"] = torch.cuda.get_rng_state()
        if self.world.first:
            tensors |= {f"net.{name}": value for name, value in net.state_dict().items()}
            tensors |= _states(optimisers)
        whole = {name: value.detach().contiguous() for name, value in tensors.items()}
        safetensors.torch.save_file(whole, where / f"{self.world.rank}.safetensors", {"facts": json.dumps(kept.facts)})
        self.world.wait()
        if self.world.first:
            write_atomically(self.folder / LATEST, json.dumps({"step": step, "processes": self.world.size}))
            for other in self.folder.glob("step-*"):
                if other != where:
                    shutil.rmtree(other)

    def restore(self, net: nn.Module, optimisers: Optimisers) -> Kept | None:
        """Puts everything back in place; None where there is no checkpoint.

        Raises SettingsError for another number of processes, DamagedArtifact for files that are no checkpoint.
        """
        if not (self.folder / LATEST).is_file():
            return None
        try:
            latest = json.loads((self.folder / LATEST).read_bytes())
            if latest["processes"] != self.world.size:
                raise SettingsError(
                    f"{self.folder} was left by {latest['processes']} processes and cannot go on with "
                    f"{self.world.size}: start as many, or delete it to begin again"
                )
            where = self.folder / f"step-{latest['step']}"
            own, first = where / f"{self.world.rank}.safetensors", where / "0.safetensors"
            with safe_open(own, "pt") as file:
                facts = json.loads(file.metadata()["facts"])
            tensors = safetensors.torch.load_file(own)
            whole = tensors if own == first else safetensors.torch.load_file(first)
            net.load_state_dict(_under("net.", whole))
            _restore_states(optimisers, whole)
            torch.set_rng_state(tensors["generator.cpu"])
            if "generator.cuda" in tensors:
                torch.cuda.set_rng_state(tensors["generator.cuda"])
        except (SafetensorError, OSError, KeyError, TypeError, RuntimeError, ValueError) as error:
            raise DamagedArtifact(
                f"{self.folder} holds no checkpoint of this training ({error}); delete it to begin again"
            ) from None
        return Kept(_under("kept.", tensors), facts)

    def remove(self) -> None:
        """The training is finished: nothing will go on from here."""
        self.world.wait()
        if self.world.first:
            shutil.rmtree(self.folder, ignore_errors=True)


def _states(optimisers: Optimisers) -> dict[str, Tensor]:
    return {
        f"optimiser.{prefix}.{index}.{name}": torch.as_tensor(value)
        for prefix, optimiser in optimisers.items()
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }


def _restore_states(optimisers: Optimisers, tensors: Mapping[str, Tensor]) -> None:
    for prefix, optimiser in optimisers.items():
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(f"optimiser.{prefix}.", tensors).items():
            index, part = name.split(".", 1)
            states.setdefault(int(index), {})[part] = value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": states})


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
