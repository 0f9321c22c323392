"""The gate asked again: the same decision while nothing changed, another one once what stood in its way is gone."""

from __future__ import annotations

import dataclasses

import pytest
from deltalake import DeltaTable

from contracts import paths
from contracts.errors import Overtaken
from release.judging import gate
from release.lookup import lookup_table
from release.publishing import publish

DAY, BEFORE = "2026-01-20", "2026-01-19"


def test_a_champion_that_was_repaired_is_judged_against_anew(with_champion):
    world = with_champion
    (weights,) = paths.bundles(world.settings).glob("*/weights.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(b"gone")
    table = lookup_table.run(world.model(DAY, "sharp"), world.settings)
    refused = gate.run(table, world.settings)
    assert world.decision(refused)["verdict"] == "no" and not world.decision(refused)["lasting"]
    assert (refused.parent / gate.SAMPLE).is_file(), "its scores are known: a person may force it"
    assert gate.run(table, world.settings) == refused, "the same cause is the same decision"

    weights.write_bytes(whole)
    again = gate.run(table, world.settings)
    assert again != refused and world.decision(again)["verdict"] == "yes", world.decision(again)["reasons"]
    assert gate.run(table, world.settings) == again and refused.is_file()
    logged = DeltaTable(paths.table(world.settings, "gate_decisions")).to_pyarrow_table().to_pylist()
    assert sorted(row["verdict"] for row in logged if row["day"] == DAY) == ["no", "yes"]
    assert publish.run(again, world.settings).action == "publish"


def test_a_busy_machine_and_a_lacking_snapshot_are_no_answer_for_ever(world, monkeypatch):
    table = lookup_table.run(world.model(DAY, "sharp"), world.settings)
    real = gate.service_of
    monkeypatch.setattr(gate, "service_of", lambda *of: dataclasses.replace(real(*of), latency_ms=9999.0))
    slow = world.decision(gate.run(table, world.settings))
    assert slow["verdict"] == "no" and len(slow["reasons"]) == 1 and "gate_max_latency_ms" in slow["reasons"][0]
    monkeypatch.setattr(gate, "service_of", real)
    assert world.decision(gate.run(table, world.settings))["verdict"] == "yes"

    DeltaTable(paths.table(world.settings, "user_features")).delete(f"day = '{BEFORE}'")
    assert "holds no snapshot" in world.decision(gate.run(table, world.settings))["reasons"][0]
    world.snapshots(BEFORE)
    assert world.decision(gate.run(table, world.settings))["verdict"] == "yes"


def test_a_parent_that_came_back_is_judged_anew_and_a_worse_model_is_not(with_champion):
    world = with_champion
    parent = world.model(BEFORE, "dull", ("2026-01-08", BEFORE), seed=5)
    table = lookup_table.run(world.model(DAY, "sharp", ("2026-01-10", DAY), parent), world.settings)
    text = parent.read_text()
    parent.unlink()
    assert "cannot be read" in world.decision(gate.run(table, world.settings))["reasons"][0]
    parent.write_text(text)
    assert world.decision(gate.run(table, world.settings))["verdict"] == "yes"
    strict = world.settings.model_copy(update={"gate_margin": 0.5})
    worse = gate.run(table, strict)
    made = worse.stat().st_mtime_ns
    assert world.decision(worse)["verdict"] == "no" and world.decision(worse)["lasting"]
    assert gate.run(table, strict) == worse and worse.stat().st_mtime_ns == made


def test_again_gives_the_same_decision_and_no_commit(world):
    table = lookup_table.run(world.model(DAY, "sharp"), world.settings)
    first = gate.run(table, world.settings)
    text, version = first.read_text(), DeltaTable(paths.table(world.settings, "gate_decisions")).version()
    assert gate.run(table, world.settings) == first
    assert first.read_text() == text
    assert DeltaTable(paths.table(world.settings, "gate_decisions")).version() == version


def test_nothing_is_published_on_a_stale_evaluation(world):
    address = gate.run(lookup_table.run(world.model(DAY, "sharp"), world.settings), world.settings)
    world.groups(DAY, seed=99)  # late clicks: the day's labels are other ones now
    with pytest.raises(Overtaken, match="stale.*written again.*run the stage gate again"):
        publish.run(address, world.settings)
    assert not (paths.pointer(world.settings)).exists()
