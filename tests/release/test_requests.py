"""Promotion on request: an alias that a person moves is a question, and the answer stands in MLflow and in the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts import paths
from contracts.errors import InputError
from contracts.settings import Settings
from release.judging.gate import CANDIDATE
from release.lookup.refresh import refresh
from release.publishing import history, publications
from release.publishing.history import served
from release.publishing.publish import By
from release.publishing.rollback import freeze, rollback, unfreeze
from release.versions import models, registry, requests

ONE, TWO, THREE = "2026-01-19", "2026-01-20", "2026-01-21"
ANN = By("ann@desk", "2026-02-01T10:00:00")


@pytest.fixture
def client(days):
    return registry.client_of(days.settings)


def test_moving_the_alias_in_mlflow_asks_and_the_gate_answers(days, client):
    settings = days.settings
    days.release(ONE, "dull")
    sharp = days.release(TWO, "sharp")
    days.release(THREE, "random")  # refused, and a version all the same
    assert [one.number for one in registry.versions(settings)] == ["3", "2", "1"]
    assert days.champion() == "2" and registry.version(settings, "3").aliases == ("challenger",)

    client.set_registered_model_alias(settings.slot, "champion", "3")
    said = requests.reconcile(settings, By("the DAG", "2026-02-01T10:00:00"))
    assert said[0].startswith("refused: version 3: the gate said no")
    refused = registry.version(settings, "3")
    assert "the gate said no" in refused.tags["refused"] and refused.tags["refused_at"] == "2026-02-01T10:00:00"
    assert days.champion() == "2" and publications.read(settings)[-1].model == sharp.model
    assert requests.reconcile(settings, By()) == []

    rollback(settings)
    assert "is champion" in requests.reconcile(settings, By())[-1] and days.champion() == "1"
    client.set_registered_model_alias(settings.slot, "champion", "2")
    assert requests.reconcile(settings, ANN)[0].startswith("published: version 2")
    last = publications.read(settings)[-1]
    assert (last.action, last.version, last.by) == ("promote", "2", "somebody in MLflow")
    assert "the alias was moved in MLflow" in last.reason and "lower bound" in last.reason
    assert requests.reconcile(settings, By()) == [] and days.champion() == "2"


def test_promote_says_who_and_why_and_force_is_recorded(days):
    settings = days.settings
    days.release(ONE, "sharp")
    days.release(TWO, "random")
    assert requests.promote("2", "a try", False, ANN, settings)[0].startswith("refused: version 2")
    assert days.champion() == "1"
    assert "AGAINST THE GATE" in requests.promote("2", "a drill", True, ANN, settings)[0]
    last = publications.read(settings)[-1]
    assert (last.action, last.by, last.at, last.version) == ("force", "ann@desk", ANN.at, "2")
    assert "a drill (asked for by ann@desk)" in last.reason and "; the gate: " in last.reason
    assert not any(name.startswith("request.") for name in registry.version(settings, "2").tags)
    rollback(settings, to="1")
    assert publications.read(settings)[-1].version == "1"


def test_a_person_may_force_a_model_past_a_champion_that_is_damaged(days):
    settings = days.settings
    days.release(ONE, "dull")
    (weights,) = paths.bundles(settings).glob("*/weights.safetensors")
    weights.write_bytes(b"gone")
    decision = days.decide(TWO, "sharp")
    number = registry.register(Path(days.decision(decision)["model"]), decision.parent / CANDIDATE, {}, settings)
    refused = requests.promote(number, "a try", False, ANN, settings)[0]
    assert refused.startswith("refused") and "does not match its checksum" in refused
    assert "AGAINST THE GATE" in requests.promote(number, "it is broken", True, ANN, settings)[0]
    assert publications.read(settings)[-1].action == "force"


def test_a_request_that_was_killed_is_answered_by_the_next_call(days, monkeypatch):
    settings = days.settings
    days.release(ONE, "dull")
    days.release(TWO, "sharp")
    rollback(settings)
    requests.reconcile(settings, By())

    class Killed(BaseException):
        pass

    with monkeypatch.context() as patch:
        patch.setattr(requests, "challenger", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            requests.promote("2", "again", False, ANN, settings)
    assert publications.read(settings)[-1].action == "rollback" and days.champion() == "2"
    assert requests.reconcile(settings, By("the DAG", "x"))[0].startswith("published: version 2")
    assert "again (asked for by ann@desk)" in publications.read(settings)[-1].reason


def test_what_cannot_be_served_here_is_refused_with_what_to_do(days, client):
    settings = days.settings
    days.release(ONE, "sharp")
    with pytest.raises(InputError, match=r"has no version 9; known, newest first: 1 \(adlens models list\)"):
        requests.promote("9", "why not", False, ANN, settings)
    with pytest.raises(InputError, match="what is served already"):
        requests.promote("1", "why not", False, ANN, settings)
    with pytest.raises(InputError, match="serves the slot"):
        requests.promote("other:1", "why not", False, ANN, settings)
    with pytest.raises(InputError, match="needs a reason"):
        requests.promote("1", "", False, ANN, settings)

    source = registry.version(settings, "1").source
    client.create_model_version(settings.slot, source, tags={"manifest": "m", "slot": "other"})
    client.create_model_version(settings.slot, source)
    lost = {"manifest": "/nowhere/manifest.json", "slot": settings.slot}
    client.create_model_version(settings.slot, source, tags=lost)
    for number, why in (("2", "of the slot `other`"), ("3", "did not register it"), ("4", "no manifest at /nowhere")):
        client.set_registered_model_alias(settings.slot, "champion", number)
        assert why in requests.reconcile(settings, ANN)[0]
        assert why in registry.version(settings, number).tags["refused"] and days.champion() == "1"


def test_nothing_to_do_in_a_home_without_a_model(tmp_path):
    settings = Settings(home=tmp_path / "home")
    assert requests.reconcile(settings, By()) == []
    assert not settings.home_path.exists(), "not even MLflow's database is made"


def test_a_promotion_after_a_refresh_is_judged_on_the_latest_run(days):
    """The refresh is of the 21st's catalogue, and no run has reached that day."""
    settings = days.settings
    days.release(ONE, "dull")
    sharp = days.release(TWO, "sharp")
    rollback(settings)
    requests.reconcile(settings, By())
    fresh, new = refresh(settings)
    assert new and fresh.day == THREE
    assert requests.promote("2", "again", False, ANN, settings)[0].startswith("published: version 2")
    last = publications.read(settings)[-1]
    assert last.day == TWO and days.decision(Path(last.decision))["day"] == TWO
    assert publications.champion_of(publications.read(settings), THREE).model == sharp.model == last.model


def test_frozen_a_challenger_waits_and_each_summary_says_so(days):
    settings = days.settings
    days.release(ONE, "dull")
    frozen = freeze(settings, "sales week", "ann@desk", "2026-01-19T12:00:00")
    assert frozen.bundle == publications.read(settings)[0].bundle
    with pytest.raises(InputError, match="frozen already: sales week"):
        freeze(settings, "again")
    kept = days.release(TWO, "sharp")
    assert kept.action == "keep" and kept.version == "1" and kept.frozen == "sales week"
    from contracts.report import read_all

    assert "FROZEN (sales week): the gate said yes" in read_all(settings, TWO)[-1].remarks[0]
    assert days.champion() == "1"
    assert requests.promote("2", "wanted", False, ANN, settings)[0].startswith("published")
    assert publications.read(settings)[-1].frozen == "sales week"  # a person's promotion ends no freeze
    unfreeze(settings, who="ann@desk")
    with pytest.raises(InputError, match="nothing is frozen"):
        unfreeze(settings)
    assert days.release(THREE, "sharp", seed=3).action == "publish"


def test_a_model_that_was_taken_back_returns_only_when_asked_for(days):
    settings = days.settings
    days.release(ONE, "dull")
    sharp = days.release(TWO, "sharp")
    rollback(settings)
    changed = settings.model_copy(update={"bootstrap_samples": 201})  # another decision on the same model
    days.settings = changed
    kept = days.release(TWO, "sharp")
    assert kept.action == "keep" and kept.model != sharp.model


def test_history_says_from_when_to_when(days, capsys):
    settings = days.settings
    days.release(ONE, "dull")
    days.release(TWO, "sharp")
    freeze(settings, "a reason", at="2026-01-20T12:00:00")
    rollback(settings, reason="clicks fell", who="ann@desk", at="2026-01-21T09:00:00")
    spans = [(row.entry.action, row.entry.at, row.until) for row in served(publications.read(settings))]
    assert spans == [
        ("publish", f"{ONE}T02:00:00", f"{TWO}T02:00:00"),
        ("publish", f"{TWO}T02:00:00", "2026-01-21T09:00:00"),
        ("freeze", "2026-01-20T12:00:00", "2026-01-21T09:00:00"),
        ("rollback", "2026-01-21T09:00:00", ""),
    ]
    history.show(settings)
    lines = capsys.readouterr().out.splitlines()
    assert any("2026-01-21 09:00:00 to now  rollback" in line and "by ann@desk" in line for line in lines)
    assert "      clicks fell" in lines and lines[-1].startswith("FROZEN: a reason")


def test_models_list_show_and_compare(days, capsys):
    settings = days.settings
    days.release(ONE, "dull")
    days.release(TWO, "sharp")
    models.listed(settings)
    models.shown("2", settings)
    said = capsys.readouterr().out
    assert "champion" in said and '"interval"' in said and '"until": "now"' in said
    found = models.differences(*(models._whole(number, settings) for number in ("1", "2")))
    changed = {(part, what): (one, other) for part, what, one, other in found}
    assert changed["data", "days"] == ("[2026-01-09, 2026-01-19)", "[2026-01-09, 2026-01-20)")
    assert float(changed["figures", "gate auc"][0]) < float(changed["figures", "gate auc"][1])
    assert models.differences(*(models._whole("1", settings) for _ in range(2))) == []
