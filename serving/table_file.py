"""A file of named arrays that opens in constant time, whatever it holds: the lookup table on disk.

    0   8 bytes   MAGIC
    8   <u4       format
    12  <u4       bytes of the header text
    16  <u8       XXH3-64 of the header text
    24  JSON      {"bytes": whole file, "body": XXH3-128 of all behind the header, "about": {...},
                   "arrays": {name: [type, shape, offset]}}, then blanks up to a multiple of PAGE
    ... the arrays, little endian, each at a multiple of PAGE

Opening reads the header and maps the arrays: memory is used as they are touched. Whether the body is whole is asked
where a file was copied or is about to be published (`check_body`), not at each open.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from contracts.errors import DamagedArtifact, MissingArtifact

MAGIC = b"ADLTAB\r\n"  # a transfer as text would change it
FORMAT, PAGE, START = 1, 4096, 24
MOST_HEADER = 1 << 20
TYPES = ("<i8", "<f4", "<f2", "|i1")
AT_ONCE = 1 << 24  # bytes
Shapes = Mapping[str, tuple[str, tuple[int, ...]]]  # name -> (type, shape)
Array = NDArray[Any]


class TableFile:
    """An opened file. `arrays`: mapped, read-only; `about`: what the writer said of it."""

    def __init__(self, path: Path):
        """Raises MissingArtifact, or DamagedArtifact for a foreign, truncated or newer file."""
        if not path.is_file():
            raise MissingArtifact(f"{path} is not there; the lookup-table stage writes it")
        self.path, size = path, path.stat().st_size
        with path.open("rb") as file:
            start = file.read(START)
            if len(start) < START or start[:8] != MAGIC:
                raise DamagedArtifact(f"{path} is no table file: it does not begin with {MAGIC!r}")
            version, length = (int.from_bytes(start[at : at + 4], "little") for at in (8, 12))
            if version != FORMAT:
                raise DamagedArtifact(f"{path} has table format {version}; this program reads format {FORMAT}")
            text = file.read(min(length, MOST_HEADER))
            if len(text) != length or xxhash.xxh3_64_intdigest(text) != int.from_bytes(start[16:], "little"):
                raise DamagedArtifact(f"{path}: the header does not match its checksum")
            header = json.loads(text)
            self.about: dict[str, Any] = header["about"]
            self._body, self._first = str(header["body"]), _padded(START + length)
            if size != header["bytes"]:
                raise DamagedArtifact(f"{path} has {size:,} bytes; its header says {header['bytes']:,}")
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        view.madvise(mmap.MADV_RANDOM)  # lookups jump: reading ahead would only fill memory
        self.arrays: dict[str, Array] = {}
        for name, (kind, shape, offset) in header["arrays"].items():
            count = int(np.prod(shape, dtype=np.int64))
            if kind not in TYPES or offset + count * np.dtype(kind).itemsize > size:
                raise DamagedArtifact(f"{path}: the array {name} ({kind} {shape}) does not fit into the file")
            self.arrays[name] = np.frombuffer(view, kind, count, offset if count else 0).reshape(shape)

    def check_body(self) -> None:
        """Reads the whole file. Raises DamagedArtifact where a byte differs from what was written."""
        if _body_digest(self.path, self._first) != self._body:
            raise DamagedArtifact(f"{self.path} does not match the checksum in its header")


class TableWriter:
    """Makes a file of arrays whose shapes are known: fill `arrays`, then `finish`; until then nothing has the name."""

    def __init__(self, path: Path, shapes: Shapes, about: Mapping[str, object]):
        self.path, self.draft = path, path.with_name(f".{path.name}.{os.getpid()}")
        self._header: dict[str, Any] = {"bytes": 0, "body": "0" * 32, "arrays": {}, "about": dict(about)}
        # The offsets stand in the header and follow from its length: room for the longest that they can be.
        self._first = _padded(START + len(json.dumps(self._header)) + sum(len(name) + 128 for name in shapes))
        at = self._first
        for name, (kind, shape) in shapes.items():
            self._header["arrays"][name] = [kind, list(shape), at]
            at = _padded(at + int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize)
        self._header["bytes"] = at
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.draft.open("wb") as file:
            file.truncate(at)
        self.arrays: dict[str, Array] = {
            name: np.memmap(self.draft, kind, "r+", offset, tuple(shape)) if np.prod(shape) else np.empty(shape, kind)
            for name, (kind, shape, offset) in self._header["arrays"].items()
        }

    def finish(self) -> Path:
        for array in self.arrays.values():
            if isinstance(array, np.memmap):
                array.flush()
        self.arrays = {}
        self._header["body"] = _body_digest(self.draft, self._first)
        text = json.dumps(self._header).encode()
        text += b" " * (self._first - START - len(text))
        with self.draft.open("r+b") as file:
            file.write(MAGIC + FORMAT.to_bytes(4, "little") + len(text).to_bytes(4, "little"))
            file.write(xxhash.xxh3_64_intdigest(text).to_bytes(8, "little") + text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.draft, self.path)
        return self.path


def _padded(at: int) -> int:
    return -(-at // PAGE) * PAGE


def _body_digest(path: Path, first: int) -> str:
    total = xxhash.xxh3_128()
    with path.open("rb") as file:
        file.seek(first)
        while part := file.read(AT_ONCE):
            total.update(part)
    return total.hexdigest()
