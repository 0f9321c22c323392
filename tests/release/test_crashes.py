"""Killed at each step of a publication: readers are served throughout, and whoever comes next ends it."""

from __future__ import annotations

import mlflow.tracking
import pytest

from contracts import paths
from contracts.errors import Overtaken
from release.lookup.refresh import refresh
from release.publishing import candidate, publications, publish
from release.publishing.publish import By
from release.publishing.rollback import freeze, rollback
from release.publishing.switch import FileStore
from release.versions import registry, requests
from serving.bundle import open_current
from tests.release.killed import Killed, agreed, asked, die

ONE, TWO, THREE = "2026-01-19", "2026-01-20", "2026-01-21"
CLIENT = mlflow.tracking.MlflowClient

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
