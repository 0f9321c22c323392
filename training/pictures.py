"""Pictures as uint8 tensors: decoded once by PIL and kept in a cache of the training size (training/picture_cache.py).

Beyond the cache's bound they are decoded each time. A missing or unreadable picture is the reserved grey one, which is
also what an unknown ad gets; too many of them stop training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from contracts import paths
from contracts.errors import InputError
from contracts.settings import Settings
from training.cscnn import GREY
from training.picture_cache import PictureCache

ENOUGH = 500  # distinct pictures before their share of unreadable ones says something in the middle of a run
NAMED = 5  # digests that the error names


class Pictures:
    """`unreadable` collects the digests for which the grey picture stood in; `bound`: their largest share. Safe for
    several threads."""

    def __init__(self, settings: Settings, size: int, bound: float = 1.0):
        self.images, self.size, self.bound = paths.images(settings), size, bound
        self.cache = PictureCache(settings.home_path / "pictures", size, settings.picture_cache_bytes)
        self.unreadable: set[str] = set()
        self.readable: set[int] = set()  # hashes of digests: some 60 bytes a picture

    def load(self, digests: Sequence[str | None]) -> Tensor:
        """uint8 [n, 3, size, size]. Raises InputError where too many were unreadable, once ENOUGH were read."""
        out = np.full((len(digests), 3, self.size, self.size), GREY, np.uint8)
        for digest, picture in zip(digests, out, strict=True):
            if digest is not None and (self.cache.read(digest, picture) or self._decode(digest, picture)):
                self.readable.add(hash(digest))
        if len(self.unreadable) + len(self.readable) >= ENOUGH:
            self.check()
        return torch.from_numpy(out)

    def check(self) -> None:
        """Raises InputError where a larger share than the bound of the distinct pictures read was unreadable."""
        read = len(self.unreadable) + len(self.readable)
        if len(self.unreadable) > self.bound * read:
            raise InputError(
                f"{len(self.unreadable)} of {read} pictures are missing or unreadable in {self.images}, more than "
                f"the share {self.bound:g} that the recipe's unreadable_bound allows: "
                f"{', '.join(sorted(self.unreadable)[:NAMED])} ... Put <digest>.jpg there, or raise the bound"
            )

    def _decode(self, digest: str, into: NDArray[np.uint8]) -> bool:
        """Whether it could be. If not, the grey one stands in, and is not kept, for the file may still land."""
        into[:] = GREY
        if digest in self.unreadable:
            return False
        try:
            with Image.open(self.images / f"{digest}.jpg") as image:
                image.draft("RGB", (self.size, self.size))
                small = image.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR)
        except (OSError, ValueError, Image.DecompressionBombError):
            self.unreadable.add(digest)
            return False
        into[:] = np.asarray(small, np.uint8).transpose(2, 0, 1)
        self.cache.keep(digest, into)
        return True
