"""The one step that changes what is served: the pointer, replaced only if it is still what its changer has seen.

`Store` is all that a publisher needs of a place: read, and write on a condition. Here a file system gives it by a lock
held for milliseconds and a rename; an object store by a conditional write (If-Match on the object's ETag), for which
`Seen.content` is the tag. Nobody waits for a publisher that is still preparing, and one that died holds nothing.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from contracts import paths
from contracts.bundle import Pointer, pointer_of
from contracts.errors import MissingArtifact
from contracts.settings import Settings


@dataclass(frozen=True)
class Seen:
    """The pointer as somebody saw it; `content` is None where there was none."""

    content: bytes | None

    def pointer(self, settings: Settings) -> Pointer | None:
        """Raises DamagedArtifact."""
        return None if self.content is None else pointer_of(self.content, settings)


class Store(Protocol):
    def look(self) -> Seen: ...

    def swap(self, seen: Seen, new: Pointer) -> bool:
        """Writes `new` if the pointer is still what was seen, else nothing. Returns whether it did. Atomic.

        Raises MissingArtifact where the new bundle is not there (any more).
        """


class FileStore:
    def __init__(self, settings: Settings):
        self._path, self._bundles = paths.pointer(settings), paths.bundles(settings)

    def look(self) -> Seen:
        try:
            return Seen(self._path.read_bytes())
        except FileNotFoundError:
            return Seen(None)

    def swap(self, seen: Seen, new: Pointer) -> bool:
        with self.held():
            if self.look() != seen:
                return False
            if not (self._bundles / new.bundle).is_dir():
                raise MissingArtifact(f"no bundle at {self._bundles / new.bundle}: it cannot be served")
            replace(self._path, (new.model_dump_json() + "\n").encode())
            return True

    @contextmanager
    def held(self) -> Iterator[None]:
        """For milliseconds: nobody switches, and nobody takes a bundle away. The kernel gives a dead process's lock
        back."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name("publication.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def store(settings: Settings) -> Store:
    return FileStore(settings)


def replace(path: Path, content: bytes) -> None:
    """Readers see the old content or the new one, also after a loss of power; where the disk is full, the old one."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(draft)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the folder's names outlive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
