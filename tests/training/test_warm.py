"""A full warm start: all weights and rows of the parent, and only days that none of its ancestors has seen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch

from contracts import artifacts
from contracts.artifacts import Manifest
from contracts.errors import DamagedArtifact, InputError
from contracts.report import read_all
from contracts.settings import Settings
from release.judging import ancestry
from training import model
from training.evaluate import score_day
from training.job import job_of
from training.loop import Loop
from training.parent import seen_by
from training.recipes import Recipe, tiny
from training.train import train_day

Made = Callable[..., Settings]
FULL = tiny().model_copy(update={"warm": "all"})
FIRST, SECOND, THIRD = (date(2026, 1, day) for day in (8, 9, 10))


def after(parent: Path | None) -> Callable[[date, Settings], Path | None]:
    return lambda day, settings: parent


def test_each_day_of_a_chain_learns_from_the_one_new_day_with_its_parents_rows(make: Made) -> None:
    settings = make(days=10, impressions=120, ads=20)
    first = train_day(FIRST, settings, FULL, after(None))
    second = train_day(SECOND, settings, FULL, after(first))
    third = train_day(THIRD, settings, FULL, after(second))
    assert artifacts.read(first).interval == ("2026-01-01", "2026-01-08")
    told = artifacts.read(third)
    assert (told.interval, told.ancestors) == (("2026-01-09", "2026-01-10"), ("2026-01-01", "2026-01-09"))
    assert told.parent == str(second) and told.rows["impressions"] == 120
    assert seen_by(third) == ("2026-01-01", "2026-01-10")

    old, new = model.load_model(first.parent), model.load_model(third.parent)
    for name, rows in old.maps.items():
        np.testing.assert_array_equal(new.maps[name].table, rows.table, err_msg=name)
    (report,) = read_all(settings, "2026-01-10")
    assert any("days that no ancestor has seen: 1" in remark for remark in report.remarks)
    assert not any("fewer than the window" in remark for remark in report.remarks)
    # An embedding that the new day did not look up is the parent's to the bit: it did not begin afresh.
    moved = (new.net.dcn.embedding["ad_id"].weight != old.net.dcn.embedding["ad_id"].weight).any(1)
    assert not moved.all() and moved.any()
    assert train_day(THIRD, settings, FULL, after(second)) == third  # finished before
    assert len(score_day(third.parent, "2026-01-10", settings).score) == 120

    assert ancestry.objections("it", third, "2026-01-10") == []
    (why,) = ancestry.objections("it", third, "2026-01-08")
    assert "2026-01-08" in why  # its parent was fitted on that day


def test_all_weights_are_the_parents_before_the_first_step(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make(days=9, impressions=60, ads=20)
    parent = train_day(FIRST, settings, tiny(), after(None))
    begun: dict[str, torch.Tensor] = {}

    def stop(loop: Loop) -> None:
        begun.update({name: value.clone() for name, value in loop.net.state_dict().items()})
        raise KeyboardInterrupt

    monkeypatch.setattr("training.loop.Loop.run", stop)
    with pytest.raises(KeyboardInterrupt):
        train_day(SECOND, settings, FULL, after(parent))
    wanted = model.load_model(parent.parent).net.state_dict()
    assert begun.keys() == wanted.keys()
    assert all(torch.equal(begun[name], value) for name, value in wanted.items())


@pytest.mark.parametrize(
    "changed, why",
    [({"deep": (16, 16)}, "another shape at dcn.deep"), ({"feature_set": "production"}, "has the features")],
)
def test_a_parent_of_another_model_gives_what_it_can_and_the_whole_window_is_read(
    make: Made, changed: dict[str, object], why: str
) -> None:
    settings = make(days=9, impressions=60, ads=20)
    parent = train_day(FIRST, settings, tiny(), after(None))
    job = job_of(SECOND, settings, Recipe.model_validate(FULL.model_dump() | changed), after(parent))
    assert not job.continues and why in str(job.refused) and len(job.days) == 8
    if "deep" in changed:
        child = artifacts.read(train_day(SECOND, settings, job.recipe, after(parent)))
        assert child.parent == str(parent) and child.ancestors == ("2026-01-01", "2026-01-08")
        (report,) = read_all(settings, "2026-01-09")
        assert any("warm start of the CNN" in said and why in said for said in report.remarks)


def test_without_a_new_day_there_is_nothing_to_learn(make: Made) -> None:
    settings = make(days=9, impressions=60, ads=20)
    parent = train_day(FIRST, settings, tiny(), after(None))
    with pytest.raises(InputError, match="fitted on .2026-01-01, 2026-01-08.; 0 days with groups.*`warm: cnn`"):
        job_of(FIRST, settings, FULL, after(parent))
    early_stop = FULL.model_copy(update={"held_out_days": 1})
    with pytest.raises(InputError, match="1 days with groups come after them, at least 2 must"):
        job_of(SECOND, settings, early_stop, after(parent))


def test_warm_none_asks_for_no_parent_and_a_dcn_may_go_on_with_all(make: Made) -> None:
    settings = make(days=9, impressions=60, ads=20)
    dcn = tiny().model_copy(update={"backbone": "none", "warm": "all"})
    parent = train_day(FIRST, settings, dcn, after(None))
    assert job_of(SECOND, settings, dcn, after(parent)).days == ["2026-01-08"]
    for warm in ("none", "cnn"):  # without a CNN the latter has nothing to take
        job = job_of(SECOND, settings, dcn.model_copy(update={"warm": warm}), after(parent))
        assert job.parent is None and job.inputs["parent"] == "none" and len(job.days) == 8


def test_what_ancestors_saw_is_known_from_older_manifests_too(tmp_path: Path) -> None:
    def made(name: str, **facts: object) -> Path:
        (tmp_path / name).mkdir()
        told = Manifest.model_validate({"kind": "model", "day": "2026-01-08", "key": name, "inputs": {}, **facts})
        return artifacts.finish(tmp_path / name, told)

    old = made("old", interval=("2026-01-01", "2026-01-08"))
    young = made("young", interval=("2026-01-05", "2026-01-09"), parent=str(old))  # before `ancestors` was told
    assert seen_by(young) == ("2026-01-01", "2026-01-09")
    told = made("told", interval=("2026-01-09", "2026-01-10"), ancestors=("2025-12-01", "2026-01-09"), parent="/gone")
    assert seen_by(told) == ("2025-12-01", "2026-01-10")
    with pytest.raises(DamagedArtifact, match="does not say which days"):
        seen_by(made("silent"))
