"""The lookup table: ad id -> visual vector, without touching a picture (CSCNN 3.4.2).

Shapes: n ads in the table, N ads asked for, m categories, d_v numbers of the model's own vector, k <= d_v of a stored
one (all 0 for a model without pictures).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CodeColumn
from contracts.errors import DamagedArtifact
from contracts.hashing import code
from serving.table_file import Shapes, TableFile, TableWriter

Floats = NDArray[np.float32]
Codes = NDArray[np.int64]
STORAGE = {"fp32": "<f4", "fp16": "<f2", "int8": "|i1"}
ROWS_AT_ONCE = 1 << 18
EMPTY = np.empty(0, np.int64)


@dataclass(frozen=True)
class Codec:
    """How a vector x [d_v] is stored: y = x, or y = basis (x - centre); then as fp32, fp16, or int8 of y / scales.

    `centre` float32 [d_v], `basis` float32 [k, d_v], orthonormal rows; `scales` float32 [k].
    """

    storage: str = "fp32"
    centre: Floats | None = None
    basis: Floats | None = None
    scales: Floats | None = None

    @property
    def exact(self) -> bool:
        return self.storage == "fp32" and self.basis is None

    def reduced(self, x: Floats) -> Floats:
        """x [.., d_v] -> y [.., k]."""
        if self.basis is None or self.centre is None:
            return x
        return ((x - self.centre) @ self.basis.T).astype(np.float32)

    def stored(self, x: Floats) -> NDArray[Any]:
        """x [.., d_v] -> what the file holds, [.., k]."""
        y = self.reduced(x)
        if self.storage != "int8":
            return y.astype(STORAGE[self.storage])
        assert self.scales is not None
        return np.clip(np.rint(y / self.scales), -127, 127).astype(np.int8)

    def read(self, stored: NDArray[Any]) -> Floats:
        """What the file holds -> y, float32 [.., k]."""
        y = stored.astype(np.float32)
        return y if self.scales is None else y * self.scales

    def step(self, y: Floats) -> Floats:
        """By how much a stored y [.., k] may differ from the same vector that was computed and stored once more."""
        if self.scales is not None:
            return np.broadcast_to(self.scales, y.shape) * np.float32(1.001)
        relative = 2.0**-10 if self.storage == "fp16" else 1e-5
        return np.abs(y) * np.float32(relative) + np.float32(1e-5)

    def arrays(self) -> dict[str, Floats]:
        named = {"centre": self.centre, "basis": self.basis, "scales": self.scales}
        return {name: array for name, array in named.items() if array is not None}

    def shapes(self, ads: int, visual: int, categories: int = 0) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Of a file that holds `ads` vectors."""
        k = visual if self.basis is None else len(self.basis)
        return {
            "codes": ("<i8", (ads,)),
            "vectors": (STORAGE[self.storage], (ads + 1, k)),
            "categories": ("<i8", (categories,)),
            "fallbacks": ("<f4", (categories, k)),
        } | {name: ("<f4", array.shape) for name, array in self.arrays().items()}


@dataclass(frozen=True)
class VisualTable:
    """`codes`: int64 [n], ascending, each once. `vectors`: [n + 1, k], as stored; the last row is the fallback of an
    ad of which nothing is known. `categories`, int64 [m], ascending, and `fallbacks`, float32 [m, k]: of other ads that
    are not in the table."""

    codes: Codes
    vectors: NDArray[Any]
    codec: Codec = Codec()
    categories: Codes = field(default_factory=lambda: EMPTY)
    fallbacks: Floats | None = None
    path: Path | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """What can be told without reading the arrays; `check` does the rest."""
        if self.codes.dtype != np.int64 or self.codes.ndim != 1:
            raise DamagedArtifact(f"lookup table: codes must be int64 [n], found {self.codes.dtype} {self.codes.shape}")
        wanted = np.dtype(STORAGE[self.codec.storage])
        if self.vectors.dtype != wanted or self.vectors.ndim != 2:
            raise DamagedArtifact(
                f"lookup table: vectors must be {wanted} [n + 1, k], found {self.vectors.dtype} {self.vectors.shape}"
            )
        if len(self.vectors) != len(self.codes) + 1:
            raise DamagedArtifact(
                f"lookup table: {len(self.codes)} codes need {len(self.codes) + 1} vectors, found {len(self.vectors)}"
            )
        basis, scales = self.codec.basis, self.codec.scales
        if (basis is not None and len(basis) != self.dimension) or (basis is None) != (self.codec.centre is None):
            raise DamagedArtifact("lookup table: basis and centre do not fit the vectors")
        if (scales is not None and scales.shape != (self.dimension,)) or (scales is None) == (wanted == np.int8):
            raise DamagedArtifact("lookup table: int8 vectors have a scale a dimension, others none")
        if self.fallbacks is not None and self.fallbacks.shape != (len(self.categories), self.dimension):
            raise DamagedArtifact(f"lookup table: {len(self.categories)} categories, fallbacks {self.fallbacks.shape}")

    @property
    def dimension(self) -> int:
        """k: the numbers of a vector that a lookup returns."""
        return int(self.vectors.shape[1])

    @property
    def visual_dimension(self) -> int:
        """d_v: the numbers of the model's own vector."""
        return self.dimension if self.codec.basis is None else int(self.codec.basis.shape[1])

    def of_codes(self, codes: Codes, category: CodeColumn | None = None) -> tuple[Floats, NDArray[np.bool_]]:
        """(vectors float32 [N, k], known bool [N]); an ad outside the table gets the fallback of its category, where
        `category` (N codes) says which and the table knows it, else the last one."""
        at, known = _found(self.codes, codes)
        vectors = self.codec.read(self.vectors[np.where(known, at, len(self.codes))])
        if category is not None and self.fallbacks is not None and not known.all():
            which, there = _found(self.categories, np.asarray(category.codes, np.int64))
            use = ~known & there & category.present
            vectors[use] = self.fallbacks[which[use]]
        return vectors, known

    def of(self, ad_ids: Sequence[str], category: CodeColumn | None = None) -> tuple[Floats, NDArray[np.bool_]]:
        return self.of_codes(codes_of(ad_ids), category)

    def check(self) -> None:
        """Reads everything. Raises DamagedArtifact for codes out of order, numbers that are not finite and, of a file,
        a body that is not what was written."""
        if self.path is not None:
            TableFile(self.path).check_body()
        for codes in (self.codes, self.categories):
            if len(codes) > 1 and not bool(np.all(codes[1:] > codes[:-1])):
                raise DamagedArtifact("lookup table: codes must ascend, each once")
        parts = (self.vectors[at : at + ROWS_AT_ONCE] for at in range(0, len(self.vectors), ROWS_AT_ONCE))
        small = [*self.codec.arrays().values(), *([] if self.fallbacks is None else [self.fallbacks])]
        if not all(bool(np.isfinite(part).all()) for part in [*small, *parts]):
            raise DamagedArtifact("the lookup table holds numbers that are not finite")

    def save(self, path: Path) -> Path:
        """A copy in a file; the arrays are read a part at a time."""
        shapes = self.codec.shapes(len(self.codes), self.visual_dimension, len(self.categories))
        writer = table_writer(path, self.codec, shapes, self.about)
        beside = {"categories": self.categories, "fallbacks": self.fallbacks}
        for name, array in {"codes": self.codes, "vectors": self.vectors, **beside}.items():
            for at in range(0, 0 if array is None else len(array), ROWS_AT_ONCE):
                writer.arrays[name][at : at + ROWS_AT_ONCE] = cast(Any, array)[at : at + ROWS_AT_ONCE]
        return writer.finish()


def _found(sorted_codes: Codes, codes: Codes) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(where each code stands, whether it is there)."""
    if len(sorted_codes) == 0:
        return np.zeros(len(codes), np.int64), np.zeros(len(codes), np.bool_)
    at = np.minimum(np.searchsorted(sorted_codes, codes), len(sorted_codes) - 1)
    return at, sorted_codes[at] == codes


def codes_of(ad_ids: Sequence[str]) -> Codes:
    """int64 [N]: the hash under which an ad stands in a table."""
    return np.array([code(ad_id) for ad_id in ad_ids], np.int64)


def table_writer(path: Path, codec: Codec, shapes: Shapes, about: Mapping[str, Any]) -> TableWriter:
    """For who fills `codes`, `vectors`, `categories` and `fallbacks` a part at a time."""
    writer = TableWriter(path, shapes, {**about, "storage": codec.storage})
    for name, array in codec.arrays().items():
        writer.arrays[name][:] = array
    return writer


def open_table(path: Path) -> VisualTable:
    """The table in a file: mapped, not read. Raises MissingArtifact or DamagedArtifact."""
    file = TableFile(path)
    found = dict(file.arrays)
    storage = str(file.about.get("storage"))
    if storage not in STORAGE or not {"codes", "vectors", "categories", "fallbacks"} <= found.keys():
        raise DamagedArtifact(f"{path} is no lookup table: storage {storage}, arrays {', '.join(sorted(found))}")
    codec = Codec(storage, *(found.get(name) for name in ("centre", "basis", "scales")))
    return VisualTable(
        found["codes"], found["vectors"], codec, found["categories"], found["fallbacks"], path, file.about
    )
