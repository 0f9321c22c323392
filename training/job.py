"""What a training is made of: everything that decides a model, found before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from deltalake import DeltaTable

import contracts
import training
from contracts import artifacts, paths, verdicts
from contracts.errors import DamagedArtifact, InputError
from contracts.features import feature_set
from contracts.settings import Settings
from training import model, reader
from training.parent import seen_by
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
    """Everything that goes into a model. `days`: of the window, those held out for an early stop included.

    `refused`: why not all of the parent is taken over; None where it is (recipe field `warm`): its rows stay what they
    are, and `days` are those after all that it and its ancestors have `seen`.
    """

    day: date
    recipe: Recipe
    table: DeltaTable
    days: list[str]
    parent: Path | None
    inputs: dict[str, str]
    seen: tuple[str, str] | None = None
    refused: str | None = "the recipe does not ask for it"

    @property
    def continues(self) -> bool:
        """All of the parent's weights go on."""
        return self.refused is None

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


def job_of(day: date, settings: Settings, chosen: Recipe, find: ParentFinder, version: int | None = None) -> Job:
    """`version`: of the group table (None: the newest).

    Raises MissingArtifact or InputError where the table or too many days are missing, or no day is new, and QualityStop
    where the audit has stopped the groups of a day that is learnt from or held out. (A kept version is what it was.)"""
    name = TABLES[chosen.grouping]
    table = reader.open_table(paths.table(settings, name), version)
    least = settings.min_training_days + chosen.held_out_days
    days = reader.training_interval(table, day, settings.window_days, least)
    if version is None:
        verdicts.refuse(settings, verdicts.GROUP_FIGURES, [*days, day.isoformat()])
    useful = chosen.warm == "all" or (chosen.warm == "cnn" and chosen.d_v)
    parent = find(day, settings) if useful else None
    seen = seen_by(parent) if parent else None
    refused = Job.refused
    if chosen.warm == "all" and parent and seen:
        refused = _refused(parent, chosen)
        days = days if refused else _new(days, seen, chosen.held_out_days, f"run {day}, warm from {parent}")
    inputs = {
        name: reader.fingerprint(table, days),
        "config": artifacts.digest(chosen.model_dump(mode="json")),
        "code": code_version(),
        "parent": artifacts.file_digest(parent) if parent else "none",
        "seed": str(settings.seed),
        "time_zone": settings.time_zone,
    }
    return Job(day, chosen, table, days, parent, inputs, seen, refused)


def _refused(parent: Path, chosen: Recipe) -> str | None:
    """Why not all of the parent can go on. One whose files are as written and cannot be read is older."""
    try:
        return model.other_than(model.load_model(parent.parent), chosen, feature_set(chosen.feature_set))
    except DamagedArtifact as error:
        return str(error)


def _new(days: list[str], seen: tuple[str, str], held_out: int, who: str) -> list[str]:
    """Those after what was seen: a second pass over the same impressions through warm embeddings would overfit them."""
    new = [day for day in days if day >= seen[1]]
    if len(new) <= held_out:
        raise InputError(
            f"{who}: it or an ancestor was fitted on [{seen[0]}, {seen[1]}); {len(new)} days with groups come after "
            f"them, at least {held_out + 1} must. Build their groups, or take the recipe's `warm: cnn`"
        )
    return new
