"""Visual vectors of (picture, category) pairs; what the same CNN has computed before is taken from a cache.

The cache is a folder per CNN, `<home>/pictures/vectors/<cnn digest>/`, of immutable segments in the lookup table's own
format (serving/table.py), mapped and not read: a pair under an unchanged CNN has an unchanged vector, so a catalogue
that repeats for the most part costs only its new pictures. A build adds one segment; many are put together into one.

A pair goes by a 64-bit hash: of 20 million, two share one with a probability of 1e-5, and an ad then gets the other's
vector.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from contracts.artifacts import digest
from contracts.hashing import code
from contracts.settings import Settings
from release.publishing.candidate import MODEL_ROWS, MODEL_WEIGHTS, model_config
from serving.table import ROWS_AT_ONCE, Codec, Codes, Floats, VisualTable, open_table, table_writer

if TYPE_CHECKING:
    from training.model import LoadedModel

Pair = tuple[str | None, int | None]  # picture's digest, category's code
FALLBACK: Pair = (None, None)  # what training shows the model for an ad that it does not know yet
KEPT_CNNS = 4  # folders; older ones are removed
SEGMENTS = 8  # more are put together


def key_of(pair: Pair) -> int:
    image, category = pair
    key = code(f"{image or ''}:{'' if category is None else category}")
    assert key is not None
    return key


def cnn_digest(model: Path) -> str:
    """Digest of all that a vector depends on besides the picture: CNN weights, category rows, recipe."""
    weights = load_file(model / MODEL_WEIGHTS)
    total = hashlib.sha256()
    for name in sorted(n for n in weights if n.startswith("cnn.")):
        total.update(name.encode())
        total.update(np.ascontiguousarray(weights[name]).tobytes())
    rows = load_file(model / MODEL_ROWS)
    if "category_id" in rows:
        total.update(np.ascontiguousarray(rows["category_id"]).tobytes())
    total.update(digest(model_config(model)["recipe"]).encode())
    return total.hexdigest()


class Vectors:
    """x_v by one model's CNN. `dimension`: d_v."""

    def __init__(self, model: Path, settings: Settings):
        self.settings, self._model = settings, model
        self.dimension = int(model_config(model)["visual_dimension"])
        self.folder = settings.home_path / "pictures" / "vectors" / cnn_digest(model)[:32]
        self._loaded: LoadedModel | None = None
        self._volatile: list[VisualTable] = []  # of pictures that could not be read: they may still land
        with self._alone():
            self._segments = [open_table(file) for file in sorted(self.folder.glob("*.table"))]
            os.utime(self.folder)
        folders = [one for one in self.folder.parent.iterdir() if one.is_dir()]
        for old in sorted(folders, key=lambda one: one.stat().st_mtime_ns)[:-KEPT_CNNS]:
            shutil.rmtree(old, ignore_errors=True)

    def of(self, keys: Codes) -> tuple[Floats, NDArray[np.bool_]]:
        """(vectors float32 [N, d_v], known bool [N]); zeros for what was never computed."""
        vectors, known = np.zeros((len(keys), self.dimension), np.float32), np.zeros(len(keys), np.bool_)
        for segment in (*self._segments, *self._volatile):
            missing = np.flatnonzero(~known)
            if not len(missing):
                break
            found, there = segment.of_codes(keys[missing])
            vectors[missing[there]], known[missing[there]] = found[there], True
        return vectors, known

    def compute(self, keys: Codes, pairs: Iterable[Pair]) -> list[str]:
        """The vectors of new, distinct pairs (a key each, in their order): from now on `of` knows them.

        Returns the pictures that could not be read: the reserved one stands in, and is not kept.
        """
        if not len(keys):
            return []
        # Torch and torchvision take ten seconds to import: gate and publisher, which only look vectors up, do without.
        from training.model import embedded, load_model
        from training.pictures import Pictures

        self._loaded = self._loaded or load_model(self._model)
        pictures = Pictures(self.settings, self._loaded.recipe.image_size)
        images: list[str | None] = []

        def noted() -> Iterator[Pair]:
            for pair in pairs:
                images.append(pair[0])
                yield pair

        with tempfile.TemporaryFile(dir=self.folder) as space:
            space.truncate(max(1, 4 * len(keys) * self.dimension))
            made = np.memmap(space, np.float32, "r+", 0, (len(keys), self.dimension)) if self.dimension else None
            readable, at = np.ones(len(keys), np.bool_), 0
            for part in embedded(self._loaded, noted(), self.settings, pictures):
                if made is not None:
                    made[at : at + len(part)] = part
                lost = [image in pictures.unreadable for image in images[: len(part)]]
                readable[at : at + len(part)] = np.logical_not(lost)
                del images[: len(part)]
                at += len(part)
            vectors = np.zeros((len(keys), 0), np.float32) if made is None else made
            order = np.argsort(keys)
            with self._alone():
                kept = order[readable[order]]
                if len(kept):
                    self._segments.append(self._segment(keys[kept], lambda part: vectors[kept[part]]))
                if len(self._segments) > SEGMENTS:
                    self._put_together()
            lost_rows = order[~readable[order]]
            if len(lost_rows):
                own = np.concatenate([vectors[lost_rows], np.zeros((1, self.dimension), np.float32)])
                self._volatile.append(VisualTable(keys[lost_rows], own))
        return sorted(pictures.unreadable)

    def _segment(self, keys: Codes, vectors_of: Callable[[slice], Floats]) -> VisualTable:
        """A file of sorted keys and their vectors, asked for a part at a time."""
        name = f"{hashlib.sha256(keys.tobytes()).hexdigest()[:16]}.table"
        writer = table_writer(self.folder / name, Codec(), Codec().shapes(len(keys), self.dimension), {})
        writer.arrays["codes"][:] = keys
        for at in range(0, len(keys), ROWS_AT_ONCE):
            part = slice(at, min(at + ROWS_AT_ONCE, len(keys)))
            writer.arrays["vectors"][part] = vectors_of(part)
        return open_table(writer.finish())

    def _put_together(self) -> None:
        old = self._segments
        keys = np.unique(np.concatenate([segment.codes for segment in old]))
        self._segments = [self._segment(keys, lambda part: self.of(keys[part])[0])]
        for segment in old:
            if segment.path and segment.path != self._segments[0].path:
                segment.path.unlink(missing_ok=True)  # who has it mapped keeps it

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Of several processes, one at a time changes the folder's list of files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
