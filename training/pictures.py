"""Pictures as uint8 tensors: decoded once by PIL, kept under `<home>/pictures/<size>/`, named by digest.

A missing or unreadable picture is the reserved grey one, which is also what an unknown ad gets.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from contracts import paths
from contracts.settings import Settings
from training.cscnn import GREY

IN_MEMORY = 50_000  # pictures; 3 KB each at 32 pixels a side


class Pictures:
    """`unreadable` collects the digests for which the grey picture stood in."""

    def __init__(self, settings: Settings, size: int):
        self.images, self.size = paths.images(settings), size
        self.cache = settings.home_path / "pictures" / str(size)
        self.grey: NDArray[np.uint8] = np.full((3, size, size), GREY, np.uint8)
        self.unreadable: set[str] = set()
        self.memory: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()

    def load(self, digests: Sequence[str | None]) -> Tensor:
        """uint8 [n, 3, size, size]."""
        return torch.from_numpy(np.stack([self.grey if d is None else self._one(d) for d in digests]))

    def _one(self, digest: str) -> NDArray[np.uint8]:
        if digest in self.memory:
            self.memory.move_to_end(digest)
            return self.memory[digest]
        picture = self._read(digest)
        self.memory[digest] = picture
        if len(self.memory) > IN_MEMORY:
            self.memory.popitem(last=False)
        return picture

    def _read(self, digest: str) -> NDArray[np.uint8]:
        kept = self.cache / digest[:2] / f"{digest}.npy"
        try:
            return np.load(kept, allow_pickle=False)
        except (OSError, ValueError):
            pass  # not decoded yet, or a write was cut short
        try:
            with Image.open(self.images / f"{digest}.jpg") as image:
                image.draft("RGB", (self.size, self.size))
                small = image.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR)
        except (OSError, ValueError, Image.DecompressionBombError):
            self.unreadable.add(digest)
            return self.grey  # not kept on disk: the file may still land
        picture = np.ascontiguousarray(np.asarray(small, np.uint8).transpose(2, 0, 1))
        _keep(kept, picture)
        return picture


def _keep(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as handle:
        np.save(handle, picture)
    os.replace(draft, path)
