"""Rule 4's parent: what the latest run of a day before D had published, as the publication log tells; what it saw."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from contracts import paths
from contracts.artifacts import read
from contracts.bundle import read_pointer
from contracts.delta_dataset import dataset
from contracts.errors import DamagedArtifact
from contracts.settings import Settings

LOG = "publication_log"


def parent_of(day: date, settings: Settings) -> Path | None:
    """Address of the model manifest that served after the last run before `day`; None for the first run.

    Raises MissingArtifact or DamagedArtifact if the log names a model that is not there.
    """
    try:
        log = DeltaTable(paths.table(settings, LOG))
    except TableNotFoundError:
        return None
    rows = dataset(log).to_table(columns=["day", "publication", "model"]).to_pylist()
    served = read_pointer(settings)
    if served is not None and served.model:  # its row is not in the log yet where a publisher was killed
        rows.append(served.model_dump())
    before = [row for row in rows if row["day"] < day.isoformat() and row["model"]]
    if not before:
        return None
    address = Path(max(before, key=lambda row: row["publication"])["model"])
    read(address)
    return address


def seen_by(model: Path) -> tuple[str, str]:
    """[first day, day after the last) that the model of this manifest, or what it was warm-started from, was fitted on.

    Raises MissingArtifact or DamagedArtifact where it cannot be known.
    """
    manifest = read(model, check_files=False)
    if manifest.interval is None:
        raise DamagedArtifact(f"{model} does not say which days it was fitted on; a parent does")
    older = manifest.ancestors or (seen_by(Path(manifest.parent)) if manifest.parent else manifest.interval)
    return min(manifest.interval[0], older[0]), max(manifest.interval[1], older[1])
