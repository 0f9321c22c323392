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
from release.lookup.refresh import refresh
from release.publishing import candidate, publications, publish
from release.publishing.publish import By
from release.publishing.rollback import freeze, rollback, unfreeze
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


WRITES = (
    "set_model_version_tag", "delete_model_version_tag", "set_registered_model_alias", "set_registered_model_tag",
)  # fmt: skip


def kill_at(patch: pytest.MonkeyPatch, nth: int) -> None:
    """Dies before the nth write to MLflow from now on."""
    done = 0

    def counted(real):
        def write(*words, **named):
            nonlocal done
            done += 1
            if done == nth:
                raise Killed
            return real(*words, **named)

        return write

    for name in WRITES:
        patch.setattr(CLIENT, name, counted(getattr(CLIENT, name)))


def asked(settings, number: str) -> list[str]:
    return [name for name in registry.version(settings, number).tags if name.startswith("request.")]


def test_a_forced_promotion_killed_between_any_two_writes(days, monkeypatch):
    """However far it came, the next `reconcile` ends it, and its force goes with it."""
    settings = days.settings
    days.release(ONE, "sharp")
    days.release(TWO, "random")  # refused: version 2
    places = [*range(1, 12), (FileStore, "swap"), (publications, "append")]
    outcomes = []
    for place in places:
        with monkeypatch.context() as patch:
            if isinstance(place, int):
                kill_at(patch, place)
            else:
                patch.setattr(*place, die)
            with pytest.raises(Killed):
                requests.promote("2", f"drill {place}", True, By("ann"), settings)
        said = requests.reconcile(settings, By("the DAG"))
        last = agreed(settings)[-1]
        outcomes.append(last.action)
        assert asked(settings, "2") == [] and requests.reconcile(settings, By()) == [], (place, said)
        if last.action == "force":
            assert f"drill {place} (asked for by ann)" in last.reason
            assert registry.version(settings, "2").tags["promoted"] == last.reason
            rollback(settings, to="1")
            requests.reconcile(settings, By())
        registry.client_of(settings).set_registered_model_alias(settings.slot, "champion", "2")
        assert requests.reconcile(settings, By())[0].startswith("refused: version 2: the gate said no"), place
    # Before the tag that says `force`: not asked for, or asked for without it.
    assert [one == "force" for one in outcomes] == [False] * 4 + [True] * (len(places) - 4)


def test_force_holds_against_what_served_when_it_was_asked_for(days, monkeypatch):
    settings = days.settings
    days.release(ONE, "sharp")
    days.release(TWO, "random")
    client = registry.client_of(settings)

    def pending() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(requests, "challenger", die)
            with pytest.raises(Killed):
                requests.promote("2", "a drill", True, By("ann"), settings)

    pending()
    client.set_registered_model_alias(settings.slot, "champion", "1")  # thought better of it
    assert requests.reconcile(settings, By()) == ["version 2: its request was withdrawn"]
    client.set_registered_model_alias(settings.slot, "champion", "2")
    assert requests.reconcile(settings, By())[0].startswith("refused: version 2: the gate said no")

    pending()
    freeze(settings, "sales week")  # something came between
    assert requests.reconcile(settings, By())[-1].startswith("refused: version 2: the gate said no")
    assert asked(settings, "2") == [] and agreed(settings)[-1].action == "freeze"


def test_a_promotion_that_was_rolled_back_before_mlflow_knew_does_not_come_back(days, monkeypatch):
    settings = days.settings
    days.release(ONE, "dull")
    days.release(TWO, "sharp")
    rollback(settings)
    requests.reconcile(settings, By())
    registry.client_of(settings).set_registered_model_alias(settings.slot, "champion", "2")
    with monkeypatch.context() as patch:
        patch.setattr(registry, "sync", die)
        with pytest.raises(Killed):
            requests.reconcile(settings, By())
    assert publications.read(settings)[-1].action == "promote"
    rollback(settings)
    requests.reconcile(settings, By())
    last = agreed(settings)[-1]
    assert (last.action, last.version, asked(settings, "2")) == ("rollback", "1", [])
    assert "promoted" in registry.version(settings, "2").tags


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


@pytest.mark.parametrize("act", ["rollback", "freeze", "refresh"])
def test_killed_between_pointer_and_row(days, monkeypatch, act):
    settings = days.settings
    days.release(ONE, "dull")
    days.release(TWO, "sharp")
    acts = {
        "rollback": lambda: rollback(settings, reason="r"), "freeze": lambda: freeze(settings, "r"),
        "refresh": lambda: refresh(settings, THREE),
    }  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(publications, "append", die)
        with pytest.raises(Killed):
            acts[act]()
    assert len(publications.logged(settings)) == 2 and open_current(settings)[1].publication == 3
    requests.reconcile(settings, By())
    assert agreed(settings)[-1].action == act


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
