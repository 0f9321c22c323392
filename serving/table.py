"""The lookup table: ad id -> visual vector, without touching a picture.

Shapes: n ads in the table, N ads asked for, d_v the visual dimension (0 for a model without pictures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DamagedArtifact, MissingArtifact
from contracts.hashing import code


@dataclass(frozen=True)
class VisualTable:
    """`codes`: int64 [n], strictly ascending. `vectors`: float32 [n + 1, d_v]; the last row is the fallback."""

    codes: NDArray[np.int64]
    vectors: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.codes.dtype != np.int64 or self.codes.ndim != 1:
            raise DamagedArtifact(f"lookup table: codes must be int64 [n], found {self.codes.dtype} {self.codes.shape}")
        if self.vectors.dtype != np.float32 or self.vectors.ndim != 2:
            raise DamagedArtifact(
                f"lookup table: vectors must be float32 [n + 1, d_v], found {self.vectors.dtype} {self.vectors.shape}"
            )
        if len(self.vectors) != len(self.codes) + 1:
            raise DamagedArtifact(
                f"lookup table: {len(self.codes)} codes need {len(self.codes) + 1} vectors, found {len(self.vectors)}"
            )
        if len(self.codes) > 1 and not bool(np.all(self.codes[1:] > self.codes[:-1])):
            raise DamagedArtifact("lookup table: codes must ascend, each once")

    @property
    def dimension(self) -> int:
        return int(self.vectors.shape[1])

    def of_codes(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(vectors float32 [N, d_v], known bool [N]); an unknown ad gets the fallback."""
        if len(self.codes) == 0:
            known = np.zeros(len(codes), np.bool_)
            return self.vectors[np.zeros(len(codes), np.int64)], known
        at = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        known = self.codes[at] == codes
        return self.vectors[np.where(known, at, len(self.codes))], known

    def of(self, ad_ids: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return self.of_codes(codes_of(ad_ids))


def codes_of(ad_ids: Sequence[str]) -> NDArray[np.int64]:
    """int64 [N]: the hash under which an ad stands in a table."""
    return np.array([code(ad_id) for ad_id in ad_ids], np.int64)


def open_table(folder: Path, codes: str, vectors: str) -> VisualTable:
    """The table in two .npy files of a folder, mapped and not read. Raises MissingArtifact or DamagedArtifact."""
    return VisualTable(_mapped(folder / codes), _mapped(folder / vectors))


def _mapped(path: Path) -> NDArray[Any]:
    """What it holds is VisualTable's to check."""
    if not path.is_file():
        raise MissingArtifact(f"{path} is not there; the lookup-table stage writes it")
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DamagedArtifact(f"{path} is no array file: {error}") from None
    return array
