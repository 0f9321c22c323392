"""Manifests: what an artifact was made from, and whether it is finished.

An artifact is a folder `<home>/artifacts/<kind>/<day>/<key>/` whose `manifest.json` is written last, atomically. `key`
is the digest of the inputs, so a step that runs again with equal inputs finds its finished manifest and returns it:
the retry, the cache and the resume. A folder without a manifest is an unfinished attempt and is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from contracts.errors import DamagedArtifact, MissingArtifact

MANIFEST = "manifest.json"


class Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str  # model, table, decision, publication
    day: str  # the run's day D
    key: str  # digest of `inputs`
    inputs: dict[str, str]  # name -> digest or address: tables' partitions, parents' manifests, config, code
    interval: tuple[str, str] | None = None  # days fitted on, half-open; None where nothing was fitted
    versions: dict[str, int] = {}  # table -> Delta version that was read
    parent: str | None = None  # address of the manifest that it was warm-started from
    ancestors: tuple[str, str] | None = None  # days that the parent or anything before it was fitted on, half-open
    rows: dict[str, int] = {}  # what was counted
    files: dict[str, str] = {}  # file in the folder -> SHA-256
    figures: dict[str, Any] = {}  # metrics, verdicts, names of things elsewhere (MLflow run, bundle)


def digest(value: object) -> str:
    """SHA-256 in hex of a JSON-able value, keys sorted."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Readers see the old text or the new one, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(draft, path)


def folder(root: Path, kind: str, day: str, inputs: Mapping[str, str]) -> Path:
    return root / kind / day / digest(dict(inputs))[:16]


def finished(where: Path) -> Path | None:
    """The address of the folder's manifest if the artifact is finished and undamaged."""
    address = where / MANIFEST
    if not address.is_file():
        return None
    read(address)
    return address


def fresh(where: Path) -> Path:
    """An empty folder to build in; what an unfinished attempt left is removed."""
    if where.exists():
        shutil.rmtree(where)
    where.mkdir(parents=True)
    return where


def finish(where: Path, manifest: Manifest) -> Path:
    """Adds the checksums of the folder's files and writes the manifest last. Returns its address."""
    files = {
        str(path.relative_to(where)): file_digest(path)
        for path in sorted(where.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    complete = manifest.model_copy(update={"files": files})
    write_atomically(where / MANIFEST, complete.model_dump_json(indent=2) + "\n")
    return where / MANIFEST


def read(address: Path | str, check_files: bool = True) -> Manifest:
    """The manifest at an address, its files checked. Raises MissingArtifact or DamagedArtifact."""
    path = Path(address)
    if not path.is_file():
        raise MissingArtifact(f"no manifest at {path}; run the stage that makes it first")
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise DamagedArtifact(f"{path} is no manifest of this version: {error}") from None
    for name, wanted in manifest.files.items() if check_files else ():
        file = path.parent / name
        if not file.is_file():
            raise DamagedArtifact(f"{file} is missing; its manifest {path} names it")
        if file_digest(file) != wanted:
            raise DamagedArtifact(f"{file} does not match the checksum in {path}")
    return manifest
