"""Disks that are full, files that were damaged, clocks that went back, an MLflow that is silent: told, and mended."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest

from contracts import paths
from contracts.bundle import WEIGHTS
from contracts.errors import AdLensError, DamagedArtifact, PrerequisiteError
from release.lookup import lookup_table
from release.publishing import candidate, publications, publish
from release.publishing.publish import By
from release.publishing.rollback import freeze, rollback, unfreeze
from release.publishing.switch import FileStore, replace, store
from release.versions import registry, requests
from serving.bundle import open_bundle, open_current, read_pointer
from tests.release.killed import Killed, agreed, asked, die

ONE, TWO = "2026-01-19", "2026-01-20"


def test_mlflow_falls_silent_after_the_switch(days, monkeypatch):
    settings = days.settings
    days.release(ONE, "dull")
    days.release(TWO, "sharp")
    rollback(settings)
    requests.reconcile(settings, By())
    with monkeypatch.context() as patch:
        patch.setattr(registry, "sync", lambda *_: (_ for _ in ()).throw(PrerequisiteError("silence")))
        with pytest.raises(
            PrerequisiteError, match="publication 4 serves version 2 now.*by `adlens reconcile`"
        ) as told:
            requests.promote("2", "again", False, By("ann"), settings)
    assert "stays" not in str(told.value) and "the same again" not in str(told.value)
    assert "is champion" in requests.reconcile(settings, By())[-1] and asked(settings, "2") == []
    agreed(settings)


def test_a_row_that_the_log_does_not_take_follows(days, monkeypatch):
    settings = days.settings
    old = days.release(ONE, "dull")
    full = OSError(28, "No space")
    for act in (lambda: freeze(settings, "sales week"), lambda: unfreeze(settings)):
        before = publications.logged(settings)
        with monkeypatch.context() as patch:
            patch.setattr(publications, "write_deltalake", lambda *_, **__: (_ for _ in ()).throw(full))
            number = len(before) + 1
            with pytest.raises(
                AdLensError, match=rf"publication {number} serves; .*follows by `adlens reconcile`"
            ) as told:
                act()
            assert told.value.exit_code == AdLensError.exit_code  # which Airflow tries again
            with pytest.raises(AdLensError, match="what serves goes on: make room"):
                rollback(settings, publication=1)
        assert publications.logged(settings) == before and read_pointer(settings).publication == number
        assert "has its row" in requests.reconcile(settings, By())[0]
        assert agreed(settings)[-1].bundle == old.bundle


def test_a_full_disk_publishes_nothing_and_leaves_nothing(days):
    settings = days.settings
    old = days.release(ONE, "dull")
    decision = days.decide(TWO, "sharp")
    before = sorted(paths.bundles(settings).iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (decision.parent / "candidate" / WEIGHTS).stat().st_size
    draft = paths.bundles(settings)

    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))  # each write past it fails, as on a full disk
        try:
            with candidate.draft_folder(settings) as folder:
                table = lookup_table.served_table(days.settings.home_path / days.decision(decision)["table"])
                candidate.with_table(folder, decision.parent / "candidate", TWO, "t", table)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    with pytest.raises(AdLensError, match="make room"):
        full()
    assert sorted(draft.iterdir()) == before and open_current(settings)[1].bundle == old.bundle
    assert publish.run(decision, settings).publication == 2  # room was made


def test_the_pointer_survives_a_full_disk(days, monkeypatch):
    settings = days.settings
    old = days.release(ONE, "dull")
    decision = days.decide(TWO, "sharp")
    with monkeypatch.context() as patch:
        full = OSError(28, "No space")
        patch.setattr("release.publishing.switch.open", lambda *_: (_ for _ in ()).throw(full), raising=False)
        with pytest.raises(AdLensError, match="make room"):
            publish.run(decision, settings)
    assert open_current(settings)[1].bundle == old.bundle
    assert [one.name for one in paths.pointer(settings).parent.iterdir() if one.name.startswith(".current")] == []
    publish.run(decision, settings)
    agreed(settings)


def test_a_file_damaged_on_the_way_is_not_published(days, monkeypatch):
    old = days.release(ONE, "dull")
    decision = days.decide(TWO, "sharp")
    real = shutil.copyfile

    def damaged(source, target, **how):
        real(source, target, **how)
        target = Path(target)
        if target.name == WEIGHTS and target.parent.name.startswith(candidate.DRAFT):
            content = bytearray(target.read_bytes())
            content[-9] ^= 1
            target.write_bytes(content)

    with monkeypatch.context() as patch:
        patch.setattr("release.publishing.candidate.shutil.copyfile", damaged)
        with pytest.raises(DamagedArtifact, match="on the way"):
            publish.run(decision, days.settings)
    assert open_current(days.settings)[1].bundle == old.bundle
    assert publish.run(decision, days.settings).publication == 2


def test_a_bundle_that_was_damaged_since_makes_way_for_the_same_one_made_again(days):
    decision = days.decide(ONE, "sharp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileStore, "swap", die)
        with pytest.raises(Killed):
            publish.run(decision, days.settings)
    named = next(one for one in paths.bundles(days.settings).iterdir() if not one.name.startswith("."))
    (named / WEIGHTS).write_bytes(b"rubbish")
    entry = publish.run(decision, days.settings)
    assert entry.bundle == named.name
    open_bundle(named)


def test_a_clock_that_went_back_changes_no_order(days):
    settings = days.settings
    days.release(ONE, "dull")
    decision = days.decide(TWO, "sharp")
    publish.run(decision, settings, By("a run", "1999-01-01T00:00:00"))
    back = rollback(settings, at="1998-01-01T00:00:00")
    log = publications.read(settings)
    assert [entry.action for entry in log] == ["publish", "publish", "rollback"]
    assert [entry.at for entry in log] == [f"{ONE}T02:00:00"] * 3
    assert read_pointer(settings).bundle == back.bundle == log[0].bundle


def test_an_older_pointer_never_comes_back_by_itself(days):
    """Restored from a backup, lost, or damaged: the log is newer, and the pointer follows it."""
    settings = days.settings
    days.release(ONE, "dull")
    where = paths.pointer(settings)
    old = where.read_bytes()
    new = days.release(TWO, "sharp")
    for content in (old, None, b"{rubbish"):
        where.unlink()
        if content is not None:
            where.write_bytes(content)
        said = requests.reconcile(settings, By())
        assert "follows the log again" in said[0] and open_current(settings)[1].bundle == new.bundle
    agreed(settings)


def test_pointer_and_log_that_contradict_each_other_are_told(days):
    settings = days.settings
    days.release(ONE, "dull")
    seen = store(settings).look()
    wrong = seen.pointer(settings).model_copy(update={"bundle": "f" * 64})
    replace(paths.pointer(settings), wrong.model_dump_json().encode())
    with pytest.raises(DamagedArtifact, match="delete the pointer"):
        publications.settle(settings)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////proc/nowhere/mlflow.db"])
def test_mlflow_does_not_answer(days, uri):
    """Before the switch nothing changes and all is kept; after it the publication stands and the alias follows."""
    settings = days.settings
    old = days.release(ONE, "dull")
    decision = days.decide(TWO, "sharp")
    silent = settings.model_copy(update={"mlflow_uri": uri})
    with pytest.raises(PrerequisiteError, match="run the same again"):
        publish.run(decision, silent)
    assert open_current(settings)[1].bundle == old.bundle and len(publications.read(settings)) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "champion", lambda _: (_ for _ in ()).throw(PrerequisiteError("no answer")))
        entry = publish.run(decision, settings)
    assert open_current(settings)[1].bundle == entry.bundle and days.champion() != entry.version
    assert "is champion" in requests.reconcile(settings, By())[-1]
    agreed(settings)
