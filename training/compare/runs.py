"""One training of a comparison: a recipe, a held-out day, a seed -> the day's scores and what they cost."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from dataclasses import dataclass
from datetime import date
from io import StringIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from contracts import artifacts
from contracts.settings import Settings
from training.evaluate import Scored, score_day
from training.recipes import Recipe
from training.train import train_day


@dataclass(frozen=True)
class Run:
    """What is trained: on the days before `day`, from scratch."""

    recipe: Recipe
    day: date
    seed: int


@dataclass(frozen=True)
class Result:
    """`cost` of the training: seconds, steps, impressions, picture passes; parameters without the optimiser's state."""

    scored: Scored
    cost: dict[str, float]


def own_home(settings: Settings, name: str) -> Settings:
    """Writes under <home>/compare/<name>; tables and landing folder are only read."""
    home = settings.home_path / "compare" / name
    tables = settings.tables or str(settings.home_path / "tables")
    landing = settings.landing_path
    return settings.model_copy(update={"home": home, "landing": landing, "tables": tables, "mlflow_uri": None})


def carry_out(runs: Sequence[Run], settings: Settings, jobs: int) -> list[Result]:
    """In the order of `runs`, `jobs` at a time; a finished training is found again."""
    once = list(dict.fromkeys(runs))
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        coming = pool.map(_one, once, [settings] * len(once))
        shown = track(coming, "compare", len(once), console=Console(file=sys.stderr))
        done = dict(zip(once, shown, strict=True))
    return [done[run] for run in runs]


def _one(run: Run, settings: Settings) -> Result:
    seeded = settings.model_copy(update={"seed": run.seed})
    with redirect_stderr(StringIO()):  # several bars at a time would overwrite each other
        address = train_day(run.day, seeded, run.recipe, _no_parent)
    return result_of(address, run.day, settings)


def result_of(address: Path, day: date, settings: Settings) -> Result:
    """The model of a manifest, scored on `day`."""
    manifest = artifacts.read(address)
    cost = {what: float(manifest.figures[f"train_{what}"]) for what in ("seconds", "steps", "impressions")}
    cost["pictures"] = manifest.rows["pictures"]
    cost["parameters"] = manifest.rows["dcn_parameters"] + manifest.rows["cnn_parameters"]
    return Result(score_day(address.parent, day.isoformat(), settings), cost)


def _no_parent(day: date, settings: Settings) -> None:
    """Each training begins at the start: none profits from what another has seen."""


def pooled(parts: Iterable[Scored]) -> Scored:
    days = list(parts)
    fields = ("impression_id", "user_id", "ad_id", "label", "score")
    return Scored(*(np.concatenate([getattr(day, field) for day in days]) for field in fields))
