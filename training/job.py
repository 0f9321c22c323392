"""What a training is made of: everything that decides a model, found before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from deltalake import DeltaTable

import contracts
import training
from contracts import artifacts, paths
from contracts.settings import Settings
from training import reader
from training.recipes import Recipe
from training.stream import TABLES

ParentFinder = Callable[[date, Settings], Path | None]


def code_version() -> str:
    """Digest of the code that decides what a model becomes: this package and contracts."""
    roots = [Path(package.__file__ or "").parent for package in (training, contracts)]
    files = sorted(path for root in roots for path in root.rglob("*.py"))
    return artifacts.digest([(path.name, artifacts.file_digest(path)) for path in files])


@dataclass(frozen=True)
class Job:
    """Everything that goes into a model. `days`: of the window, those held out for an early stop included."""

    day: date
    recipe: Recipe
    table: DeltaTable
    days: list[str]
    parent: Path | None
    inputs: dict[str, str]

    @property
    def learnt(self) -> list[str]:
        """The days that weights and rows are fitted on."""
        return self.days[: len(self.days) - self.recipe.held_out_days]

    @property
    def held_out(self) -> list[str]:
        return self.days[len(self.learnt) :]

    @property
    def key(self) -> str:
        return artifacts.digest(self.inputs)


def job_of(
    day: date, settings: Settings, chosen: Recipe, find: ParentFinder, version: int | None = None
) -> Job:
    """`version`: of the group table (None: the newest).

    Raises MissingArtifact or InputError where the table or too many days are missing."""
    name = TABLES[chosen.grouping]
    table = reader.open_table(paths.table(settings, name), version)
    least = settings.min_training_days + chosen.held_out_days
    days = reader.training_interval(table, day, settings.window_days, least)
    parent = find(day, settings) if chosen.d_v else None
    inputs = {
        name: reader.fingerprint(table, days),
        "config": artifacts.digest(chosen.model_dump(mode="json")),
        "code": code_version(),
        "parent": artifacts.file_digest(parent) if parent else "none",
        "seed": str(settings.seed),
        "time_zone": settings.time_zone,
    }
    return Job(day, chosen, table, days, parent, inputs)
