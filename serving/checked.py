"""Whether a bundle's files are what its description says, without numpy: all that a rollback needs of it.

Checksums cost a second a gigabyte or two, and a table of millions of ads is mapped, not read. So whoever publishes a
bundle leaves a note of its files' sizes, change times and inodes (`bundles/.checked/<digest>.json`) after he has read
them whole; as long as they stand nobody reads them for checksums again. Linux changes the change time (ctime) at every
write and lets no program set it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from contracts.artifacts import file_digest, write_atomically
from contracts.bundle import FORMAT, INFO, ROWS, TABLE, WEIGHTS, BundleInfo
from contracts.errors import DamagedArtifact, MissingArtifact

FILES = frozenset((WEIGHTS, ROWS, TABLE))


def digest_of(folder: Path) -> str:
    """A bundle's name: SHA-256 of its bundle.json, which holds the checksum of every other file."""
    return hashlib.sha256((folder / INFO).read_bytes()).hexdigest()


def described(folder: Path, named: bool = True, whole: bool = True) -> BundleInfo:
    """The description of a folder whose files all match it, and that holds no other file.

    `whole` False leaves out the table, which may be large: its header is checked where it is opened.

    Raises MissingArtifact where the folder or a file is missing, DamagedArtifact for anything else.
    """
    path = folder / INFO
    if not path.is_file():
        raise MissingArtifact(f"no bundle at {folder}: {INFO} is not there")
    if named and digest_of(folder) != folder.name:
        raise DamagedArtifact(f"{path} was changed: its SHA-256 is not the name of its folder")
    info = _parsed(path)
    if set(info.files) != FILES:
        raise DamagedArtifact(f"{path} lists {sorted(info.files)}; a bundle has {sorted(FILES)}")
    foreign = sorted(one.name for one in folder.iterdir() if one.name != INFO and one.name not in FILES)
    if foreign:
        raise DamagedArtifact(f"{folder} holds {', '.join(foreign)}, which {INFO} does not name; take it away")
    known = _noted(folder) if named else {}
    for name, checksum in info.files.items():
        file = folder / name
        if not file.is_file():
            raise MissingArtifact(f"{file} is missing; {path} names it")
        if name == TABLE and not whole:
            continue
        if known.get(name) != _stat(file) and file_digest(file) != checksum:
            raise DamagedArtifact(f"{file} does not match its checksum in {path}")
    return info


def _parsed(path: Path) -> BundleInfo:
    """The format first: a newer one may hold fields that this code does not know."""
    try:
        found = json.loads(path.read_bytes())["format"]
        if found != FORMAT:
            newer = isinstance(found, int) and found > FORMAT
            todo = "update AdLens where this ran, or `adlens rollback`" if newer else "publish a model again"
            raise DamagedArtifact(f"{path} has format {found}; this predictor reads format {FORMAT}: {todo}")
        return BundleInfo.model_validate_json(path.read_bytes())
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedArtifact(f"{path} is no bundle description of this version: {error}") from None


def remember(folder: Path) -> None:
    """Notes the files of a bundle that was just read whole and found right."""
    note = {name: _stat(folder / name) for name in sorted(FILES)}
    write_atomically(_note(folder), json.dumps(note) + "\n")


def _note(folder: Path) -> Path:
    return folder.parent / ".checked" / f"{folder.name}.json"


def _noted(folder: Path) -> dict[str, list[int]]:
    try:
        note = json.loads(_note(folder).read_bytes())
        return note if isinstance(note, dict) else {}
    except (OSError, ValueError):
        return {}


def _stat(file: Path) -> list[int]:
    found = os.stat(file)
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]
