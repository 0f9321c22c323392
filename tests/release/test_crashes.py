"""Killed at each step of a publication: readers are served throughout, and whoever comes next ends it."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import mlflow.tracking
import pytest
from deltalake import DeltaTable

from contracts import paths
from contracts.bundle import WEIGHTS
from contracts.delta_dataset import dataset
from contracts.errors import AdLensError, DamagedArtifact, Overtaken, PrerequisiteError
from release.lookup import lookup_table
from release.publishing import candidate, publications, publish
from release.publishing.publish import By
from release.publishing.rollback import rollback
from release.publishing.switch import FileStore, replace, store
from release.versions import registry, requests
from serving.bundle import open_bundle, open_current, read_pointer

ONE, TWO, THREE = "2026-01-19", "2026-01-20", "2026-01-21"
CLIENT = mlflow.tracking.MlflowClient


class Killed(BaseException):
    """Not an Exception: nothing may catch it."""


def die(*_, **__):
    raise Killed


BEFORE, AFTER = "before the switch", "after it"
POINTS = [
    (BEFORE, CLIENT, "create_model_version"),
    (BEFORE, CLIENT, "set_model_version_tag"),
    (BEFORE, publish, "with_table"),
    (BEFORE, publish, "prove"),
    (BEFORE, candidate, "remember"),
    (BEFORE, FileStore, "swap"),
    (AFTER, publications, "append"),
    (AFTER, publish, "publish_delta"),
    (AFTER, registry, "sync"),
    (AFTER, CLIENT, "set_registered_model_tag"),
    (AFTER, publish, "_report"),
]


def agreed(settings) -> list[publications.Entry]:
    """Log, pointer, the rows for analysts and the alias say the same; returns the log."""
    log = publications.logged(settings)
    assert [entry.publication for entry in log] == list(range(1, len(log) + 1))
    current = read_pointer(settings)
    assert (current.publication, current.bundle) == (log[-1].publication, log[-1].bundle)
    alias = registry.champion(settings)
    assert (alias.version, alias.synced_publication) == (log[-1].version, log[-1].publication)
    table = Path(log[-1].table).parent
    rows = dataset(DeltaTable(paths.table(settings, "visual_table")), [table.parent.name]).to_table()
    assert set(rows.column("table_version").to_pylist()) == {f"{table.parent.name}/{table.name}"}
    return log


@pytest.mark.parametrize("when, owner, step", POINTS, ids=[point[2] for point in POINTS])
def test_killed_and_done_again(days, monkeypatch, when, owner, step):
    settings = days.settings
    old = days.release(ONE, "dull")
    decision = days.decide(TWO, "sharp")
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, die)
        with pytest.raises(Killed):
            publish.run(decision, settings)
    bundle, pointer = open_current(settings)  # whole, whichever it is
    assert (pointer.bundle == old.bundle) == (when == BEFORE) and bundle.folder.name == pointer.bundle
    if when == AFTER:
        requests.reconcile(settings, By())
        assert len(agreed(settings)) == 2 and requests.reconcile(settings, By()) == []
    entry = publish.run(decision, settings)
    assert agreed(settings)[-1].bundle == entry.bundle and entry.publication == 2
    assert not list(paths.bundles(settings).glob(f"{candidate.DRAFT}*"))


def test_of_two_publishers_at_once_one_wins_and_nothing_is_mixed(days, monkeypatch):
    """The second goes in whole while the first has prepared all and not switched yet."""
    settings = days.settings
    days.release(ONE, "dull")
    slow, fast = days.decide(TWO, "sharp", seed=1), days.decide(TWO, "sharp", seed=2)
    real = publish.challenger

    def overtaken(*words):
        made = real(*words)
        monkeypatch.setattr(publish, "challenger", real)
        publish.run(fast, settings)
        return made

    monkeypatch.setattr(publish, "challenger", overtaken)
    with pytest.raises(Overtaken, match="do it again"):
        publish.run(slow, settings)
    log = agreed(settings)
    assert [entry.decision for entry in log[1:]] == [str(fast)]
    assert publish.run(slow, settings).publication == 3  # done again, it is a decision of its own
    agreed(settings)


def test_a_rollback_does_not_wait_for_a_publisher_and_is_not_undone_by_it(days, monkeypatch):
    settings = days.settings
    days.release(ONE, "dull")
    days.release(TWO, "sharp")
    decision, real = days.decide(THREE, "sharp", seed=3), publish.challenger

    def meanwhile(*words):
        made = real(*words)
        rollback(settings, reason="while somebody publishes")
        return made

    monkeypatch.setattr(publish, "challenger", meanwhile)
    with pytest.raises(Overtaken):
        publish.run(decision, settings)
    assert publications.read(settings)[-1].action == "rollback"


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
