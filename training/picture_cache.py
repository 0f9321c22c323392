"""Decoded pictures of one size on disk: two sparse files for all of them, shared by any number of processes.

`<size>-<slots>.pixels` holds slots of 3 * size * size bytes, filled in the order of coming. `.index` is a hash table of
twice as many entries, open addressing: key, slot and checksum of a picture; its header counts the filled slots. Both
are mapped, so opening costs the same for ten pictures and for ten million, and what one process keeps the others see.

A writer holds a file lock, writes the pixels and then their entry. A write that was cut short leaves either no entry
or, after the machine itself stopped, one whose checksum does not fit the pixels: that is no picture.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from threading import Lock

import numpy as np
import xxhash
from numpy.typing import NDArray

ENTRY = np.dtype([("key", "<u8", 2), ("slot", "<u4"), ("checksum", "<u4")])  # slot: 1 is the first, 0 is empty
KEY = 16  # bytes of the digest's hash; two pictures in 10^9 share one with a probability of 10^-21
Pixels = NDArray[np.uint8]


class PictureCache:
    """`limit`: bytes of pixels at most; later pictures are not kept. A cache of another limit is removed and begun
    anew."""

    def __init__(self, folder: Path, size: int, limit: int):
        self.shape, self.bytes = (3, size, size), 3 * size * size
        self.slots = limit // self.bytes
        self.entries = 2 * self.slots
        self.full = self.slots == 0
        if self.full:
            return
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{size}-{self.slots}"
        for other in folder.glob(f"{size}-*"):
            if other.stem != name:
                other.unlink(missing_ok=True)  # who has it mapped keeps it
        self.index_file = _open(folder / f"{name}.index", (1 + self.entries) * ENTRY.itemsize)
        self.pixel_file = _open(folder / f"{name}.pixels", self.slots * self.bytes)
        self.index = np.memmap(self.index_file, ENTRY, "r", shape=(1 + self.entries,))
        self.pixels = np.memmap(self.pixel_file, np.uint8, "r", shape=(self.slots, self.bytes))
        self.lock = Lock()

    @property
    def filled(self) -> int:
        return 0 if self.slots == 0 else int(self.index[0]["slot"])

    def read(self, digest: str, into: Pixels) -> bool:
        """Copies the picture, uint8 [3, size, size], and tells whether it is there. The copy is what is checked."""
        if self.slots == 0:
            return False
        entry = self._find(_key(digest))[1]
        if entry["slot"]:
            np.copyto(into, self.pixels[entry["slot"] - 1].reshape(self.shape))
        return bool(entry["slot"]) and _checksum(into) == entry["checksum"]

    def keep(self, digest: str, picture: Pixels) -> None:
        """Kept unless there is no room. One that another process kept meanwhile stays as it is."""
        if self.full:
            return
        key, data = _key(digest), picture.tobytes()
        with self._alone():
            at, entry = self._find(key)
            slot = entry["slot"] if entry["slot"] else self.filled + 1
            if slot > self.slots:
                self.full = True
                return
            try:
                _write(self.pixel_file, data, (int(slot) - 1) * self.bytes)
                made = np.array((key, slot, _checksum(picture)), ENTRY)
                if not entry["slot"]:
                    count = np.array(((0, 0), slot, 0), ENTRY)
                    _write(self.index_file, count.tobytes(), 0)
                _write(self.index_file, made.tobytes(), at * ENTRY.itemsize)
            except OSError:
                self.full = True  # the disk is

    def _find(self, key: tuple[int, int]) -> tuple[int, np.void]:
        """Position and content of the key's entry, or of the empty one that it would take."""
        at = 1 + key[0] % self.entries
        while True:
            entry = self.index[at]
            if not entry["slot"] or tuple(entry["key"]) == key:
                return at, entry
            at = 1 + at % self.entries

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Among the threads of this process and among processes."""
        with self.lock:
            fcntl.flock(self.index_file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self.index_file, fcntl.LOCK_UN)


def full_caches(folder: Path) -> dict[Path, int]:
    """Of the caches that have no room left: address without suffix -> how many pictures it holds."""
    found = {index.with_suffix(""): int(index.stem.split("-")[1]) for index in folder.glob("*-*.index")}
    return {one: slots for one, slots in found.items() if _filled(one.with_suffix(".index")) >= slots}


def _filled(index: Path) -> int:
    header = np.fromfile(index, ENTRY, 1)
    return int(header[0]["slot"]) if len(header) else 0


def _open(path: Path, length: int) -> FileIO:
    """For reading and writing, made and stretched where it is new. Never cut: another process may have begun."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
    if os.fstat(file.fileno()).st_size < length:
        os.ftruncate(file.fileno(), length)
    return file


def _write(file: FileIO, data: bytes, at: int) -> None:
    if os.pwrite(file.fileno(), data, at) != len(data):
        raise OSError("the disk is full")


def _key(digest: str) -> tuple[int, int]:
    """Of any text: names that are no digest spread as well."""
    hashed = hashlib.blake2b(digest.encode(), digest_size=KEY).digest()
    return int.from_bytes(hashed[:8], "little"), int.from_bytes(hashed[8:], "little")


def _checksum(picture: Pixels) -> int:
    return xxhash.xxh3_64_intdigest(picture.data) & 0xFFFFFFFF
