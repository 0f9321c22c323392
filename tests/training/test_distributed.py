"""Two processes over gloo do what one does; uneven shards end together; what was stopped goes on with as many."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from contracts import artifacts
from contracts.settings import Settings
from tests.training.two_processes import updated
from training import metrics
from training.distributed import World
from training.evaluate import score_day
from training.model import WEIGHTS_FILE

Made = Callable[..., Settings]
ROOT = Path(__file__).resolve().parents[2]


def started(settings: Settings, *command: str, **more: str) -> subprocess.Popen[str]:
    """In a process group of its own."""
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ADLENS_HOME": str(settings.home_path),
        "ADLENS_LANDING": str(settings.landing_path), "ADLENS_RECIPE": settings.recipe, **more,
    }  # fmt: skip
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *command]
    return subprocess.Popen(
        run, env=environment, cwd=ROOT, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def torchrun(settings: Settings, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    process = started(settings, *command, **more)
    said, _ = process.communicate(timeout=600)
    return subprocess.CompletedProcess(command, process.returncode, said, said)


def test_two_processes_update_as_one_does(make: Made, tmp_path: Path) -> None:
    settings = make(days=2, impressions=600)
    alone = updated(settings, World(torch.device("cpu")))
    done = torchrun(settings, str(ROOT / "tests/training/two_processes.py"), str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (safetensors.torch.load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    for name, value in alone.items():
        np.testing.assert_allclose(first[name], value, atol=2e-6, err_msg=name)
        assert torch.equal(first[name], second[name]), name  # and they agree to the bit


def test_killed_it_goes_on_with_as_many_to_the_same_bits(make: Made, tmp_path: Path) -> None:
    recipe = tmp_path / "kept.yaml"
    recipe.write_text("base: tiny\nbuffer_impressions: 300\ncheckpoint_minutes: 0\npictures_per_batch: 4\n")
    settings = make(days=8, impressions=150, recipe=str(recipe))
    train = ("-m", "training", "train", "--day", "2026-01-08", "--address-file")
    whole, again = tmp_path / "whole", tmp_path / "again"
    done = torchrun(settings, *train, str(whole))
    assert done.returncode == 0, done.stderr[-3000:]

    other = settings.model_copy(update={"home": tmp_path / "other"})
    tables = {"ADLENS_TABLES": str(settings.home_path / "tables")}
    process = started(other, *train, str(again), **tables)
    while not list(other.home_path.glob("checkpoints/*/latest.json")) and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert list(other.home_path.glob("checkpoints/*/latest.json")), "it ended before it could be killed"
    done = torchrun(other, *train, str(again), **tables)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (safetensors.torch.load_file(Path(file.read_text()).parent / WEIGHTS_FILE) for file in (whole, again))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_uneven_shards_end_together_and_a_day_is_trained(make: Made, tmp_path: Path) -> None:
    recipe = tmp_path / "uneven.yaml"
    recipe.write_text("base: tiny\nbuffer_impressions: 400\nheld_out_days: 2\nepochs: 2\npictures_per_batch: 2\n")
    settings = make(days=8, impressions=200, recipe=str(recipe), min_training_days=5)
    address = tmp_path / "address"
    done = torchrun(
        settings, "-m", "training", "train", "--day", "2026-01-08", "--address-file", str(address),
        ADLENS_MIN_TRAINING_DAYS="5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    manifest = artifacts.read(address.read_text())
    days = [score_day(Path(address.read_text()).parent, f"2026-01-0{day}", settings) for day in (6, 7)]
    label, score = (np.concatenate([getattr(day, name) for day in days]) for name in ("label", "score"))
    assert manifest.figures["train_held_out_loss"] == pytest.approx(metrics.log_loss(label, score), abs=1e-5)
    assert manifest.figures["processes"] == 2
    assert manifest.rows["impressions"] == 5 * 200 and manifest.figures["train_impressions"] == 2 * 5 * 200
    assert manifest.figures["train_log_loss"] < 1
