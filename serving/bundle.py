"""Opens a bundle folder (contracts/bundle.py says what is in it) and believes nothing that it did not check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from contracts.bundle import INFO, ROWS, TABLE, WEIGHTS, BundleInfo, Pointer, read_pointer
from contracts.errors import AdLensError, DamagedArtifact, MissingArtifact
from contracts.feature import Feature, from_json
from contracts.features import BY_NAME
from contracts.paths import bundles, pointer
from contracts.rows import RowMap, from_arrays
from contracts.settings import Settings
from serving.checked import described
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
        """As they were declared when the model was trained: an older bundle goes on with its own."""
        own = self.info.definitions
        return tuple(from_json(own[name]) if name in own else BY_NAME[name] for name in self.info.features)


def open_bundle(folder: Path, named: bool = True, whole: bool = False) -> Bundle:
    """The bundle in a folder, its files checked; of the table, which may be large, the header only unless `whole`.

    `named`: the folder's name must be the bundle's digest (False for a candidate that is still being judged). Raises
    MissingArtifact where the folder or a file is missing, DamagedArtifact for anything else that is not as it must be.
    """
    info = described(folder, named, whole)
    unknown = [name for name in info.features if name not in BY_NAME and name not in info.definitions]
    if unknown:
        raise DamagedArtifact(f"{folder / INFO} names features that are not declared: {', '.join(unknown)}")
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


def open_current(settings: Settings) -> tuple[Bundle, Pointer]:
    """The bundle that the pointer names. Raises MissingArtifact before the first publication.

    A reader that was so slow that what it found was removed meanwhile looks again.
    """
    current = read_pointer(settings)
    while current is not None:
        try:
            return open_bundle(bundles(settings) / current.bundle), current
        except AdLensError:
            newer = read_pointer(settings)
            if newer == current:
                raise
            current = newer
    raise MissingArtifact(
        f"nothing is published yet: {pointer(settings)} is not there; a day whose gate says yes writes it"
    )
