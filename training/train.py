"""Stage 5 for a day: find the job, fit rows, train, write the artifact, tell MLflow."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path

import torch

from contracts import artifacts, paths, report
from contracts.errors import InputError
from contracts.features import Feature, feature_set
from contracts.rows import RowMap
from contracts.settings import Settings
from training import model, reader
from training.checkpoint import LATEST
from training.columns import Impressions
from training.distributed import World, enter, leave
from training.job import Job, ParentFinder, job_of
from training.loop import Loop, seed_everything
from training.parent import parent_of
from training.pictures import Pictures
from training.recipes import Recipe, recipe
from training.rows_fit import fit
from training.start_weights import start_from
from training.stream import Reader
from training.tracking import KEY, RUN, Run
from training.warm_start import take_cnn
from training.watch import Trained

STAGE, KIND = "5-train", "model"


def train_day(
    day: date, settings: Settings, chosen: Recipe | None = None, find: ParentFinder = parent_of,
    profile: Path | None = None, version: int | None = None,
) -> Path:  # fmt: skip
    """Trains run `day` on [day - window, day), never reading `day`. Returns the manifest's address.

    A finished manifest of equal inputs is returned as it is; a training that was stopped goes on. `profile`: a file
    that a few steps' trace is written to. `version`: of the group table, to repeat a run (None: the newest). Raises
    MissingArtifact (no groups, a parent that is gone), DamagedArtifact (a parent that is not what its manifest says),
    InputError (too few days, no click among them), PrerequisiteError (a GPU was asked for and is absent), Interrupted
    (SIGTERM). With MLflow away it raises PrerequisiteError too, once the model is finished: called again, it returns
    that and tells MLflow.
    """
    started = time.monotonic()
    job = job_of(day, settings, chosen or recipe(settings.recipe), find, version)
    where = artifacts.folder(paths.artifacts(settings), KIND, day.isoformat(), job.inputs)
    done = artifacts.finished(where)
    if done:
        told = _told_again(done, job, settings)
        _report(settings, day, started, artifacts.read(done), [f"finished before: {done} was returned", *told])
        return done
    world = enter(settings.device)
    try:
        run = _train(job, settings, world, where, profile, started)
        world.wait()
    finally:
        leave(world)
    if world.first:  # last, and after the others have gone: the model is finished, whatever MLflow says
        _tell(run, where / artifacts.MANIFEST, job, settings)
    return where / artifacts.MANIFEST


def _told_again(done: Path, job: Job, settings: Settings) -> list[str]:
    """What MLflow did not take when the model was finished. Returns a remark, if there was something."""
    if artifacts.read(done, check_files=False).figures.get(RUN):
        return []
    _tell(_run(job, settings, job.key), done, job, settings)
    return ["MLflow has its run now; points of its curves that MLflow did not take at the time are lost"]


def _tell(run: Run, address: Path, job: Job, settings: Settings) -> None:
    manifest = artifacts.read(address, check_files=False)
    figures = {name: value for name, value in manifest.figures.items() if name.startswith("train_")}
    parameters = {**job.recipe.model_dump(mode="json"), "day": job.day, "parent": manifest.parent}
    run.finish(address, {**parameters, "seed": settings.seed}, figures)


def _run(job: Job, settings: Settings, begun: str = "", real: bool = True) -> Run:
    tags = {"day": job.day.isoformat(), "recipe": job.recipe.name, KEY: job.key}
    return Run(settings, f"{job.recipe.name} {job.day}", tags, real, begun)


def _train(job: Job, settings: Settings, world: World, where: Path, profile: Path | None, started: float) -> Run:
    """Every process trains; the first one writes."""
    chosen, features = job.recipe, list(feature_set(job.recipe.feature_set))
    old = model.load_model(job.parent.parent) if job.parent and job.continues else None
    maps = old.maps if old else _fitted(job, features, settings.seed)
    seed_everything(settings.seed, chosen.threads)
    net = model.CTRModel(chosen, features, maps)
    warm, remarks = _start(net, maps, job, old)
    del old  # its weights are copied: not held twice while training
    net.to(world.device)
    pictures = Pictures(settings, chosen.image_size, chosen.unreadable_bound)
    as_served = chosen.model_copy(update={"unknown_ad_share": 0.0})
    learning, held_out = (
        Reader(job.table, days, how, maps, settings.seed, world.rank, world.size) if days else None
        for days, how in ((job.learnt, chosen), (job.held_out, as_served))
    )
    assert learning is not None
    kept = paths.checkpoints(settings) / f"{job.day}-{job.key[:16]}"
    begun = job.key if (kept / LATEST).is_file() else ""
    run = _run(job, settings, begun, world.first)
    try:
        loop = Loop(chosen, net, learning, pictures, kept, world, held_out, run.curve, profile)
        trained = loop.run()
        pictures.check()
        unreadable = len(world.union(loop.unreadable))
        if world.first:
            artifacts.fresh(where)
            model.save(where, chosen, features, maps, net.cpu(), settings.time_zone)
            manifest = _manifest(job, learning, net, trained, unreadable, warm, world)
            artifacts.finish(where, manifest)
    except BaseException:
        run.failed()
        raise
    loop.checkpoints.remove()
    if unreadable:
        remarks.append(f"{unreadable} pictures missing or unreadable: the grey one stood in")
    if len(job.days) < settings.window_days and not job.continues:
        remarks.append(f"{len(job.days)} days of groups, fewer than the window of {settings.window_days}")
    if world.first:
        _report(settings, job.day, started, manifest, remarks)
    return run


def _fitted(job: Job, features: Sequence[Feature], seed: int) -> dict[str, RowMap]:
    rows = (part for text in job.learnt for part in reader.chunks(job.table, text, features))
    return fit(features, _with_both_labels(rows, job), job.recipe.number_sample, seed)


def _with_both_labels(rows: Iterable[Impressions], job: Job) -> Iterator[Impressions]:
    """`rows` as they come. Raises InputError at their end if all have the same label: there is nothing to learn."""
    seen = clicks = 0
    for part in rows:
        seen, clicks = seen + len(part), clicks + int(part.label.sum())
        yield part
    if clicks in (0, seen):
        raise InputError(
            f"{clicks} of the {seen} impressions from {job.learnt[0]} to {job.learnt[-1]} were clicked: a model needs "
            "both kinds. See whether the clicks of these days have landed, or train with a longer window (window_days)"
        )


def _start(
    net: model.CTRModel, maps: Mapping[str, RowMap], job: Job, old: model.LoadedModel | None
) -> tuple[Path | None, list[str]]:
    """Where the weights begin: all of them the parent's (`old`); else the CNN's the parent's, else the recipe's file's,
    else random. Returns the parent if it is."""
    if old:
        net.load_state_dict(old.net.state_dict())
        return job.parent, [f"all weights from {job.parent}; days that no ancestor has seen: {len(job.days)}"]
    refused = "there is no parent"
    if job.parent:
        found = take_cnn(net, maps, job.parent.parent)
        if found is None:
            also = f", not all weights: {job.refused}" if job.recipe.warm == "all" else ""
            return job.parent, [f"warm start of the CNN from {job.parent}{also}"]
        refused = f"{found} ({job.parent})"
    if net.cnn is not None and job.recipe.cnn_start is not None:
        start_from(net.cnn, job.recipe.cnn_start, job.recipe.cnn_start_digest)
        return None, [f"start of the CNN from {job.recipe.cnn_start}: {refused}"]
    return None, [f"cold start, at random: {refused}"]


def _manifest(
    job: Job, learning: Reader, net: model.CTRModel, trained: Trained, unreadable: int, warm: Path | None, world: World
) -> artifacts.Manifest:  # fmt: skip
    """The interval holds the days of an early stop too: they chose the weights."""
    return artifacts.Manifest(
        kind=KIND, day=job.day.isoformat(), key=job.key, inputs=job.inputs,
        interval=(job.days[0], (date.fromisoformat(job.days[-1]) + timedelta(days=1)).isoformat()),
        versions={learning.source.name: learning.version},
        parent=str(warm) if warm else None, ancestors=job.seen if warm else None,
        rows={"days": len(job.days), "impressions": learning.impressions, "pictures": trained.pictures,
              "unreadable_pictures": unreadable, **_sizes(net)},
        figures={RUN: "", "recipe": job.recipe.name, "processes": world.size, **_figures(trained)},
    )  # fmt: skip


def _sizes(net: model.CTRModel) -> dict[str, int]:
    def parameters(module: torch.nn.Module | None) -> int:
        return sum(p.numel() for p in module.parameters()) if module is not None else 0

    return {"dcn_parameters": parameters(net.dcn), "cnn_parameters": parameters(net.cnn)}


def _figures(trained: Trained) -> dict[str, float]:
    names = ("log_loss", "auc", "first_log_loss", "steps", "impressions", "seconds", "waited", "held_out_loss")
    figures = {f"train_{name}": float(asdict(trained)[name]) for name in names}
    return {name: value for name, value in figures.items() if math.isfinite(value)}  # JSON knows no other


def _report(settings: Settings, day: date, started: float, manifest: artifacts.Manifest, remarks: list[str]) -> None:
    report.write(
        settings,
        report.StageReport(
            stage=STAGE, day=day.isoformat(), seconds=time.monotonic() - started,
            rows_in=manifest.rows["impressions"], rows_out=manifest.rows["impressions"], versions=manifest.versions,
            counts=manifest.rows, remarks=remarks,
        ),
    )  # fmt: skip
