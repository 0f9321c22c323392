"""Stage 5 for one day: which days, which parent, fit rows, train, write the artifact."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path

import torch

import contracts
import training
from contracts import artifacts, paths, report
from contracts.features import feature_set
from contracts.settings import Settings
from training import model, reader
from training.batch import Batch
from training.loop import Loop, Trained, seed_everything
from training.parent import parent_of
from training.pictures import Pictures
from training.prefetch import ready
from training.recipes import Recipe, recipe
from training.rows_fit import fit
from training.stream import TABLES, Reader
from training.tracking import Run

STAGE, KIND = "5-train", "model"
ParentFinder = Callable[[date, Settings], Path | None]


def code_version() -> str:
    """Digest of the code that decides what a model becomes: this package and contracts."""
    roots = [Path(package.__file__ or "").parent for package in (training, contracts)]
    files = sorted(path for root in roots for path in root.rglob("*.py"))
    return artifacts.digest([(path.name, artifacts.file_digest(path)) for path in files])


def train_day(day: date, settings: Settings, chosen: Recipe | None = None, find: ParentFinder = parent_of) -> Path:
    """Trains run `day` on [day - window, day), never reading `day`. Returns the manifest's address.

    A finished manifest of equal inputs is returned as it is. Raises MissingArtifact (no groups, a parent that is gone)
    and InputError (too few days).
    """
    started = time.monotonic()
    chosen = chosen or recipe(settings.recipe)
    table = reader.open_table(paths.table(settings, TABLES[chosen.grouping]))
    days = reader.training_interval(table, day, settings.window_days, settings.min_training_days)
    parent = find(day, settings) if chosen.d_v else None
    inputs = {
        TABLES[chosen.grouping]: reader.fingerprint(table, days),
        "config": artifacts.digest(chosen.model_dump(mode="json")),
        "code": code_version(),
        "parent": artifacts.file_digest(parent) if parent else "none",
        "seed": str(settings.seed),
        "time_zone": settings.time_zone,
    }
    where = artifacts.folder(paths.artifacts(settings), KIND, day.isoformat(), inputs)
    done = artifacts.finished(where)
    if done:
        manifest = artifacts.read(done)
        _report(settings, day, started, manifest, [f"finished before: {done} was returned"])
        return done
    return _train(day, days, settings, chosen, table, parent, inputs, artifacts.fresh(where), started)


def _train(
    day: date, days: list[str], settings: Settings, chosen: Recipe, table: reader.DeltaTable, parent: Path | None,
    inputs: dict[str, str], where: Path, started: float,
) -> Path:  # fmt: skip
    features = list(feature_set(chosen.feature_set))
    parts = (part for text in days for part in reader.chunks(table, text, features))
    maps = fit(features, parts, chosen.number_sample, settings.seed)
    seed_everything(settings.seed, chosen.threads)
    net = model.CTRModel(chosen, features, maps)
    refused = model.warm_start(net, maps, model.load_model(parent.parent)) if parent else "there is none"
    warm = parent if refused is None else None
    remarks = [f"warm start of the CNN from {parent}" if warm else f"random start, no parent: {refused}"]
    if len(days) < settings.window_days:
        remarks.append(f"{len(days)} days of groups, fewer than the window of {settings.window_days}")

    run = Run(settings, f"{chosen.name} {day}", {"day": day.isoformat(), "recipe": chosen.name})
    try:
        pictures = Pictures(settings, chosen.image_size, chosen.unreadable_bound)
        stream, waited = Reader(table, days, chosen, maps, settings.seed), []

        def epoch(number: int) -> Iterator[Batch]:
            seen = pictures if chosen.d_v else None
            with ready(stream.pieces(number), seen, chosen.prefetch, chosen.prefetch_threads) as batches:
                yield from batches
                waited.append(batches.waited)

        trained = Loop(chosen, features, maps, net, pictures, settings.seed).run(epoch, stream.impressions)
        pictures.check()
        if pictures.unreadable:
            remarks.append(f"{len(pictures.unreadable)} pictures missing or unreadable: the grey one stood in")
        figures = _figures(trained) | {"train_waited_seconds": sum(waited)}
        model.save(where, chosen, features, maps, net, settings.time_zone)
        manifest = artifacts.Manifest(
            kind=KIND, day=day.isoformat(), key=artifacts.digest(inputs), inputs=inputs,
            interval=(stream.days[0], (date.fromisoformat(stream.days[-1]) + timedelta(days=1)).isoformat()),
            versions={TABLES[chosen.grouping]: stream.version},
            parent=str(warm) if warm else None,
            rows={"days": len(days), "impressions": trained.impressions // chosen.epochs,
                  "pictures": trained.pictures, "unreadable_pictures": len(pictures.unreadable), **_sizes(net)},
            figures={"mlflow_run_id": run.id, "recipe": chosen.name, **figures},
        )  # fmt: skip
        parameters = {**chosen.model_dump(mode="json"), "day": day, "parent": warm, "seed": settings.seed}
        run.log(parameters, figures)
        for name in sorted(path.name for path in where.iterdir()):
            run.add(where / name)
        address = artifacts.finish(where, manifest)
        run.add(address)
        run.end()
    except BaseException:
        run.end("FAILED")
        raise
    _report(settings, day, started, artifacts.read(address), remarks)
    return address


def _sizes(net: model.CTRModel) -> dict[str, int]:
    def parameters(module: torch.nn.Module | None) -> int:
        return sum(p.numel() for p in module.parameters()) if module is not None else 0

    return {"dcn_parameters": parameters(net.dcn), "cnn_parameters": parameters(net.cnn)}


def _figures(trained: Trained) -> dict[str, float]:
    names = ("log_loss", "auc", "first_log_loss", "steps", "seconds")
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
