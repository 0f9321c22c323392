"""Stage 5 for a day: which days, which parent, fit rows, train, write the artifact."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import torch
from deltalake import DeltaTable

import contracts
import training
from contracts import artifacts, paths, report
from contracts.features import feature_set
from contracts.settings import Settings
from training import model, reader
from training.checkpoint import Checkpoints
from training.distributed import World, enter, leave
from training.loop import Loop, seed_everything
from training.parent import parent_of
from training.pictures import Pictures
from training.recipes import Recipe, recipe
from training.rows_fit import fit
from training.start_weights import start_from
from training.stream import TABLES, Reader
from training.tracking import Run
from training.watch import Trained

STAGE, KIND = "5-train", "model"
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
    def key(self) -> str:
        return artifacts.digest(self.inputs)


def train_day(
    day: date, settings: Settings, chosen: Recipe | None = None, find: ParentFinder = parent_of,
    profile: Path | None = None,
) -> Path:  # fmt: skip
    """Trains run `day` on [day - window, day), never reading `day`. Returns the manifest's address.

    A finished manifest of equal inputs is returned as it is; a training that was stopped goes on. `profile`: a file
    that a few steps' trace is written to. Raises MissingArtifact (no groups, a parent that is gone), InputError (too
    few days), PrerequisiteError (a GPU was asked for and is absent), Interrupted (SIGTERM).
    """
    started = time.monotonic()
    job = _job(day, settings, chosen or recipe(settings.recipe), find)
    where = artifacts.folder(paths.artifacts(settings), KIND, day.isoformat(), job.inputs)
    done = artifacts.finished(where)
    if done:
        manifest = artifacts.read(done)
        _report(settings, day, started, manifest, [f"finished before: {done} was returned"])
        return done
    world = enter(settings.device)
    try:
        address = _train(job, settings, world, where, profile, started)
        world.wait()
    finally:
        leave(world)
    return address


def _job(day: date, settings: Settings, chosen: Recipe, find: ParentFinder) -> Job:
    name = TABLES[chosen.grouping]
    table = reader.open_table(paths.table(settings, name))
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


def _train(job: Job, settings: Settings, world: World, where: Path, profile: Path | None, started: float) -> Path:
    chosen = job.recipe
    learnt, kept_back = job.days[: len(job.days) - chosen.held_out_days], job.days[len(job.days) - chosen.held_out_days :]
    features = list(feature_set(chosen.feature_set))
    rows = (part for text in learnt for part in reader.chunks(job.table, text, features))
    maps = fit(features, rows, chosen.number_sample, settings.seed)
    seed_everything(settings.seed, chosen.threads)
    net = model.CTRModel(chosen, features, maps)
    warm, remarks = _start(net, maps, job)
    if len(job.days) < settings.window_days:
        remarks.append(f"{len(job.days)} days of groups, fewer than the window of {settings.window_days}")
    net.to(world.device)
    pictures = Pictures(settings, chosen.image_size, chosen.unreadable_bound)

    def stream(days: list[str]) -> Reader:
        return Reader(job.table, days, chosen, maps, settings.seed, world.rank, world.size)

    checkpoints = paths.checkpoints(settings) / f"{job.day}-{job.key[:16]}"
    learning = stream(learnt)
    run = Run(settings, f"{chosen.name} {job.day}", {"day": job.day.isoformat(), "recipe": chosen.name}, world.first)
    try:
        loop = Loop(
            chosen, net, learning, pictures, checkpoints, world, stream(kept_back) if kept_back else None, run.curve,
            profile,
        )  # fmt: skip
        trained = loop.run()
        pictures.check()
        if pictures.unreadable:
            remarks.append(f"{len(pictures.unreadable)} pictures missing or unreadable: the grey one stood in")
        if not world.first:
            run.end()
            return where / artifacts.MANIFEST
        artifacts.fresh(where)
        model.save(where, chosen, features, maps, net.cpu(), settings.time_zone)
        manifest = artifacts.Manifest(
            kind=KIND, day=job.day.isoformat(), key=job.key, inputs=job.inputs,
            interval=(job.days[0], (date.fromisoformat(job.days[-1]) + timedelta(days=1)).isoformat()),
            versions={learning.name: learning.version},
            parent=str(warm) if warm else None,
            rows={"days": len(job.days), "impressions": learning.impressions, "pictures": trained.pictures,
                  "unreadable_pictures": len(pictures.unreadable), **_sizes(net)},
            figures={"mlflow_run_id": run.id, "recipe": chosen.name, "processes": world.size, **_figures(trained)},
        )  # fmt: skip
        parameters = {**chosen.model_dump(mode="json"), "day": job.day, "parent": warm, "seed": settings.seed}
        run.log(parameters, _figures(trained))
        for name in sorted(path.name for path in where.iterdir()):
            run.add(where / name)
        address = artifacts.finish(where, manifest)
        run.add(address)
        run.end()
    except BaseException:
        run.end("FAILED")
        raise
    Checkpoints(checkpoints, World(world.device)).remove()
    _report(settings, job.day, started, artifacts.read(address), remarks)
    return address


def _start(net: model.CTRModel, maps: dict[str, model.RowMap], job: Job) -> tuple[Path | None, list[str]]:
    """Where the CNN's weights begin: the parent's, else the recipe's file, else random. Returns the parent if it is."""
    refused = model.warm_start(net, maps, model.load_model(job.parent.parent)) if job.parent else "there is none"
    if job.parent and refused is None:
        return job.parent, [f"warm start of the CNN from {job.parent}"]
    if net.cnn is not None and job.recipe.cnn_start is not None:
        start_from(net.cnn, job.recipe.cnn_start, job.recipe.cnn_start_digest)
        return None, [f"start of the CNN from {job.recipe.cnn_start}, no parent: {refused}"]
    return None, [f"random start, no parent: {refused}"]


def _sizes(net: model.CTRModel) -> dict[str, int]:
    def parameters(module: torch.nn.Module | None) -> int:
        return sum(p.numel() for p in module.parameters()) if module is not None else 0

    return {"dcn_parameters": parameters(net.dcn), "cnn_parameters": parameters(net.cnn)}


def _figures(trained: Trained) -> dict[str, float]:
    names = ("log_loss", "auc", "first_log_loss", "steps", "seconds", "waited")
    return {f"train_{name}": float(asdict(trained)[name]) for name in names}


def _report(settings: Settings, day: date, started: float, manifest: artifacts.Manifest, remarks: list[str]) -> None:
    report.write(
        settings,
        report.StageReport(
            stage=STAGE, day=day.isoformat(), seconds=time.monotonic() - started,
            rows_in=manifest.rows["impressions"], rows_out=manifest.rows["impressions"], versions=manifest.versions,
            counts=manifest.rows, remarks=remarks,
        ),
    )  # fmt: skip
