"""The loop: killed anywhere it ends with the same weights; stops where it should; tells what went wrong."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from mlflow.tracking import MlflowClient

from contracts import artifacts, paths
from contracts.errors import AdLensError, DamagedArtifact, PrerequisiteError, SettingsError
from contracts.settings import Settings
from training import metrics
from training.batch import Batch
from training.checkpoint import LATEST
from training.evaluate import score_day
from training.loop import Interrupted, Loop
from training.model import WEIGHTS_FILE
from training.recipes import Recipe, tiny
from training.step import Step
from training.train import train_day

Made = Callable[..., Settings]
DAY = date(2026, 1, 8)


def small(**update: object) -> Recipe:
    changed = {"checkpoint_minutes": 0.0, "buffer_impressions": 500, "unknown_ad_share": 0.2, **update}
    return Recipe.model_validate(tiny().model_dump() | changed)


def weights(address: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(address.parent / WEIGHTS_FILE)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


def killed_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    taken, whole = [], Step.__call__

    def step(self: Step, *args: Any) -> tuple[float, torch.Tensor]:
        if len(taken) == steps:
            raise Killed
        taken.append(1)
        return whole(self, *args)

    monkeypatch.setattr(Step, "__call__", step)


@pytest.mark.parametrize(
    "update",
    [{}, {"epochs": 2, "held_out_days": 1}, {"backbone": "cnn_f", "image_size": 32}, {"cnn_fixed": True},
     {"grouping": "none"}],
    ids=["resnet18", "early stop", "dropout", "fixed", "nothing shared"],
)  # fmt: skip
def test_killed_at_random_steps_it_ends_with_the_same_weights(
    make: Made, monkeypatch: pytest.MonkeyPatch, update: dict[str, object]
) -> None:
    """A checkpoint every third step: some steps are made twice."""
    save = Loop._save
    monkeypatch.setattr(
        Loop, "_save", lambda self, position: None if self.watch.counters.steps % 3 else save(self, position)
    )
    settings, chosen = make(days=9, impressions=120, min_training_days=5), small(**update)
    min(paths.images(settings).glob("*.jpg")).write_bytes(b"broken")
    whole = train_day(DAY, settings, chosen)
    steps, undisturbed = int(artifacts.read(whole).figures["train_steps"]), weights(whole)
    figures = artifacts.read(whole).figures
    other = settings.model_copy(update={"home": settings.home_path.parent / "other", "tables": _tables(settings)})
    random = np.random.default_rng(0)
    for _ in range(3):
        with monkeypatch.context() as patch:
            killed_after(patch, int(random.integers(1, max(2, steps // 3))))
            with pytest.raises(Killed):
                train_day(DAY, other, chosen)
    again = train_day(DAY, other, chosen)
    assert same(weights(again), undisturbed)
    for name in ("train_log_loss", "train_auc", "train_first_log_loss", "train_steps"):
        assert artifacts.read(again).figures[name] == figures[name]
    assert artifacts.read(again).rows == artifacts.read(whole).rows  # unreadable pictures among them
    assert not list(paths.checkpoints(other).glob("*"))  # nothing is left of a finished training


def _tables(settings: Settings) -> str:
    return str(settings.home_path / "tables")


def test_sigterm_writes_a_checkpoint_and_says_so(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, chosen = make(days=8, impressions=120), small(checkpoint_minutes=60.0)
    before = signal.getsignal(signal.SIGTERM)
    taken, whole = [], Step.__call__

    def step(self: Step, *args: Any) -> tuple[float, torch.Tensor]:
        taken.append(1)
        if len(taken) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(self, *args)

    monkeypatch.setattr(Step, "__call__", step)
    with pytest.raises(Interrupted, match="after 3 steps; run again"):
        train_day(DAY, settings, chosen)
    stopped_after = len(taken)
    assert signal.getsignal(signal.SIGTERM) is before
    address = train_day(DAY, settings, chosen)
    assert artifacts.read(address).figures["train_steps"] == len(taken) and stopped_after == 3
    client = MlflowClient(settings.mlflow_tracking_uri)
    (experiment,) = client.search_experiments(filter_string="name = 'adlens'")
    (run,) = client.search_runs([experiment.experiment_id])  # one, gone on with
    assert run.info.status == "FINISHED"


def test_a_loss_that_is_not_finite_stops_with_its_batch_kept(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make(days=8, impressions=120)
    monkeypatch.setattr(Step, "loss", lambda self, logits, batch: logits.sum() * float("nan"))
    with pytest.raises(AdLensError, match="the loss, or a gradient, became nan at step 1;") as told:
        train_day(DAY, settings, small())
    (kept,) = paths.checkpoints(settings).glob("*/not-finite-0.safetensors")
    assert str(kept) in str(told.value)
    assert {"label_N", "ads.ad_id"} <= set(safetensors.torch.load_file(kept))


def test_a_gradient_that_is_not_finite_is_not_learnt_from(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """sqrt at 0: the loss is finite and its gradient is not."""
    settings = make(days=8, impressions=120)
    before: list[dict[str, torch.Tensor]] = []
    whole = Step.loss

    def loss(self: Step, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        before.append({name: value.clone() for name, value in self.net.state_dict().items()})
        found = whole(self, logits, batch)
        return found if len(before) < 3 else found + (logits.sum() * 0).sqrt()

    stopped: list[Loop] = []
    monkeypatch.setattr(Step, "loss", loss)
    monkeypatch.setattr(Loop, "settle_statistics", lambda self: None)
    not_finite = Loop._not_finite
    monkeypatch.setattr(Loop, "_not_finite", lambda self, *told: stopped.append(self) or not_finite(self, *told))
    with pytest.raises(AdLensError, match="a gradient, became nan at step 3;"):
        train_day(DAY, settings, small(backbone="none"))
    assert same(stopped[0].net.state_dict(), before[-1])
    assert all(torch.isfinite(value).all() for value in before[-1].values())


def test_an_early_stop_keeps_the_best_epoch(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make(days=8, impressions=120, min_training_days=5)
    losses = iter([0.5, 0.4, 0.6, 0.7, 0.3])
    monkeypatch.setattr("training.loop.held_out_figures", lambda *_: {"log_loss": next(losses), "auc": 0.5})
    kept: list[dict[str, torch.Tensor]] = []
    before = Loop._no_better

    def no_better(self: Loop, epoch: int) -> bool:
        ends = before(self, epoch)
        kept.append({name: value.clone() for name, value in self.net.state_dict().items()})
        return ends

    monkeypatch.setattr(Loop, "_no_better", no_better)
    address = train_day(DAY, settings, small(epochs=5, held_out_days=1, patience=2))
    assert len(kept) == 4  # two epochs after the best one brought nothing
    assert same(weights(address), kept[1]) and not same(kept[1], kept[3])
    assert artifacts.read(address).figures["train_held_out_loss"] == 0.4
    assert artifacts.read(address).interval == ("2026-01-01", "2026-01-08")  # it chose the epoch: rule 4


@pytest.mark.parametrize("loss", ["pointwise", "pairwise"])
def test_held_out_days_are_scored_as_served_and_not_learnt_from(make: Made, loss: str) -> None:
    settings = make(days=8, impressions=120, min_training_days=5)
    address = train_day(DAY, settings, small(held_out_days=2, loss=loss))
    manifest = artifacts.read(address)
    assert manifest.rows["impressions"] == 5 * 120
    days = [score_day(address.parent, day, settings) for day in ("2026-01-06", "2026-01-07")]
    label, score = (np.concatenate([getattr(day, name) for day in days]) for name in ("label", "score"))
    wanted = metrics.log_loss(label, score) if loss == "pointwise" else 1 - metrics.auc(label, score)
    assert manifest.figures["train_held_out_loss"] == pytest.approx(wanted, abs=1e-5 if loss == "pointwise" else 5e-4)
    run = MlflowClient(settings.mlflow_tracking_uri).get_run(manifest.figures["mlflow_run_id"])
    told = {name for name in run.data.metrics if name.startswith("held_out_")}
    assert told == {"held_out_auc"} | ({"held_out_log_loss", "held_out_calibration"} if loss == "pointwise" else set())


def test_a_checkpoint_of_something_else_is_refused(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, chosen = make(days=8, impressions=120), small()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, 2)
        train_day(DAY, settings, chosen)
    (latest,) = paths.checkpoints(settings).glob(f"*/{LATEST}")
    whole = latest.read_text()
    latest.write_text(whole.replace('"processes": 1', '"processes": 4'))
    with pytest.raises(SettingsError, match="left by 4 processes"):
        train_day(DAY, settings, chosen)
    latest.write_text(whole)
    (file,) = latest.parent.glob("step-*/0.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DamagedArtifact, match="delete it to begin again"):
        train_day(DAY, settings, chosen)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_asked_for_and_absent_is_an_error(make: Made) -> None:
    settings = make(days=8, impressions=120, device="cuda")
    with pytest.raises(PrerequisiteError, match="sees 0 GPUs"):
        train_day(DAY, settings)


def test_rates_rise_stay_and_fall(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, before = [], Step.slow_down

    def slow_down(self: Step, done: float) -> None:
        before(self, done)
        seen.append((done, self.optimisers["dense"].param_groups[0]["lr"] / self.rates[0]))

    monkeypatch.setattr(Step, "slow_down", slow_down)
    train_day(DAY, make(days=8, impressions=120), small(warm_up=0.1, rate_end=0.1, pictures_per_batch=4))
    share = dict(seen)
    assert share[0.0] == pytest.approx(0.01) and max(share.values()) == 1.0
    assert min(value for done, value in seen if done > 0.5) < 0.6 and seen[-1][1] < 0.25


def test_clipping_bounds_the_dense_gradients(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    norms = []
    before = torch.optim.Adam.step

    def step(self: torch.optim.Adam, *args: object) -> None:
        squares = [p.grad.square().sum() for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.stack(squares).sum().sqrt()))
        before(self, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    train_day(DAY, make(days=8, impressions=120), small(clip_norm=0.01))
    assert norms and max(norms) <= 0.0101


def test_a_profile_is_a_trace(make: Made, tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    train_day(DAY, make(days=8, impressions=200), small(pictures_per_batch=4), profile=file)
    assert '"traceEvents"' in file.read_text()
