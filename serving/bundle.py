"""Opens a bundle folder (contracts/bundle.py says what is in it) and believes nothing that it did not check."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from contracts.artifacts import file_digest
from contracts.bundle import FORMAT, INFO, ROWS, TABLE, WEIGHTS, BundleInfo, Pointer
from contracts.errors import DamagedArtifact, MissingArtifact
from contracts.features import BY_NAME, Feature
from contracts.paths import bundles, pointer
from contracts.rows import RowMap, from_arrays
from contracts.settings import Settings
from serving.table import VisualTable, open_table


@dataclass(frozen=True)
class Bundle:
    folder: Path
    info: BundleInfo
    weights: dict[str, NDArray[np.float32]]
    maps: dict[str, RowMap]
    table: VisualTable

    @property
    def features(self) -> tuple[Feature, ...]:
        return tuple(BY_NAME[name] for name in self.info.features)


def digest_of(folder: Path) -> str:
    """A bundle's name: SHA-256 of its bundle.json, which holds the checksum of every other file."""
    return hashlib.sha256((folder / INFO).read_bytes()).hexdigest()


def open_bundle(folder: Path, named: bool = True, whole: bool = False) -> Bundle:
    """The bundle in a folder, its files checked; of the table, which may be large, the header only unless `whole`.

    `named`: the folder's name must be the bundle's digest (False for a candidate that is still being judged). Raises
    MissingArtifact where the folder or a file is missing, DamagedArtifact for anything else that is not as it must be.
    """
    path = folder / INFO
    if not path.is_file():
        raise MissingArtifact(f"no bundle at {folder}: {INFO} is not there")
    if named and digest_of(folder) != folder.name:
        raise DamagedArtifact(f"{path} was changed: its SHA-256 is not the name of its folder")
    try:
        info = BundleInfo.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise DamagedArtifact(f"{path} is no bundle description of this version: {error}") from None
    if info.format != FORMAT:
        raise DamagedArtifact(f"{path} has format {info.format}; this predictor reads format {FORMAT}")
    wanted = {WEIGHTS, ROWS, TABLE}
    if set(info.files) != wanted:
        raise DamagedArtifact(f"{path} lists {sorted(info.files)}; a bundle has {sorted(wanted)}")
    for name, checksum in info.files.items():
        file = folder / name
        if not file.is_file():
            raise MissingArtifact(f"{file} is missing; {path} names it")
        if (whole or name != TABLE) and file_digest(file) != checksum:
            raise DamagedArtifact(f"{file} does not match its checksum in {path}")
    unknown = [name for name in info.features if name not in BY_NAME]
    if unknown:
        raise DamagedArtifact(f"{path} names features that are not declared: {', '.join(unknown)}")
    return _opened(folder, info)


def _opened(folder: Path, info: BundleInfo) -> Bundle:
    try:
        weights = load_file(folder / WEIGHTS)
        maps = from_arrays(info.row_maps, load_file(folder / ROWS))
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise DamagedArtifact(f"{folder}: weights or rows cannot be read ({error})") from None
    missing = [name for name in info.features if name not in maps]
    if missing:
        raise DamagedArtifact(f"{folder / ROWS} lacks the rows of {', '.join(missing)}")
    table = open_table(folder / TABLE)
    if table.visual_dimension != info.visual_dimension:
        raise DamagedArtifact(
            f"{folder}: the table is of vectors of {table.visual_dimension} numbers, the model takes "
            f"{info.visual_dimension}"
        )
    return Bundle(folder, info, weights, maps, table)


def read_pointer(settings: Settings) -> Pointer | None:
    """What is served now; None before the first publication."""
    path = pointer(settings)
    if not path.is_file():
        return None
    try:
        return Pointer.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise DamagedArtifact(f"{path} is no pointer: {error}") from None


def open_current(settings: Settings) -> tuple[Bundle, Pointer]:
    """The bundle that the pointer names. Raises MissingArtifact before the first publication."""
    current = read_pointer(settings)
    if current is None:
        raise MissingArtifact(
            f"nothing is published yet: {pointer(settings)} is not there; a day whose gate says yes writes it"
        )
    return open_bundle(bundles(settings) / current.bundle), current
