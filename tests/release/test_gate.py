"""The gate on real artifacts: what it lets through, and everything that it must not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from deltalake import DeltaTable

from contracts import artifacts, paths
from contracts.errors import MissingArtifact
from contracts.features import feature_set
from release import gate, lookup_table, publish

DAY, BEFORE, AFTER = "2026-01-20", "2026-01-19", "2026-01-21"


def decided(world, model: Path) -> dict:
    return world.decision(gate.run(lookup_table.run(model, world.settings), world.settings))


@pytest.fixture
def with_champion(world):
    """`dull` was published on the 19th."""
    world.catalogue("2026-01-18", 10)
    world.groups(BEFORE, seed=7)
    table = lookup_table.run(world.model(BEFORE, "dull", ("2026-01-09", BEFORE)), world.settings)
    entry = publish.run(gate.run(table, world.settings), world.settings)
    assert entry is not None and entry.action == "publish", world.settings
    return world


def test_first_champion_beats_the_baselines(world):
    decision = decided(world, world.model(DAY, "sharp"))
    assert decision["verdict"] == "yes", decision["reasons"]
    assert set(decision["comparisons"]) == {"always the mean", "ad popularity"}
    assert decision["figures"]["always the mean"]["auc"] == 0.5
    assert decision["champion"] is None
    # 1200 impressions on 12 ads, two of which entered on the day itself
    assert 0 < decision["impressions_by_fallback"] < decision["impressions"] == 1200


@pytest.mark.parametrize("kind", ["random", "nan"])
def test_damaged_challenger_is_refused(world, kind):
    decision = decided(world, world.model(DAY, kind))
    assert decision["verdict"] == "no"
    assert decision["reasons"]
    text = (paths.artifacts(world.settings) / "decision").rglob("decision.json")
    assert all("NaN" not in file.read_text() for file in text)


def test_better_than_the_champion_goes_in(with_champion):
    world = with_champion
    decision = decided(world, world.model(DAY, "sharp"))
    assert decision["verdict"] == "yes", decision["reasons"]
    assert decision["comparisons"]["champion"]["difference"] > 0
    assert decision["champion"] is not None


def test_worse_than_the_champion_is_refused(world):
    world.catalogue("2026-01-18", 10)
    world.groups(BEFORE, seed=7)
    table = lookup_table.run(world.model(BEFORE, "sharp", ("2026-01-09", BEFORE)), world.settings)
    assert publish.run(gate.run(table, world.settings), world.settings) is not None
    decision = decided(world, world.model(DAY, "dull"))
    assert decision["verdict"] == "no"
    assert "not above the margin" in decision["reasons"][0]


def test_a_model_fitted_on_the_held_out_day_is_refused(world):
    decision = decided(world, world.model(DAY, "sharp", ("2026-01-10", AFTER)))
    assert decision["verdict"] == "no"
    assert "held-out day 2026-01-20" in decision["reasons"][0]


def test_an_ancestor_fitted_on_the_held_out_day_is_refused(world):
    grandparent = world.model("2026-01-22", "sharp", ("2026-01-15", "2026-01-22"))
    parent = world.model("2026-01-18", "sharp", ("2026-01-08", "2026-01-18"), grandparent)
    decision = decided(world, world.model(DAY, "sharp", ("2026-01-10", DAY), parent))
    assert decision["verdict"] == "no"
    assert "ancestor" in decision["reasons"][0]


def test_a_model_without_interval_or_with_a_lost_parent_is_refused(world):
    assert decided(world, world.model(DAY, "sharp", None))["verdict"] == "no"
    lost = world.model(DAY, "sharp", ("2026-01-10", DAY), world.settings.home_path / "gone" / "manifest.json")
    assert "cannot be read" in decided(world, lost)["reasons"][0]


def test_one_class_and_too_few_rows_are_refused(world):
    world.groups(DAY, clicks=False)
    decision = decided(world, world.model(DAY, "sharp"))
    assert decision["verdict"] == "no"
    assert any("two classes" in reason for reason in decision["reasons"])
    world.groups(DAY, users=4, each=5)
    decision = decided(world, world.model(DAY, "sharp", seed=1))
    assert any("gate_min_rows" in reason for reason in decision["reasons"])


def test_missing_day_is_an_error_of_the_stage_before(world):
    table = lookup_table.run(world.model(DAY, "sharp"), world.settings)
    DeltaTable(paths.table(world.settings, "ad_groups")).delete(f"day = '{DAY}'")
    with pytest.raises(MissingArtifact, match="2026-01-20"):
        gate.run(table, world.settings)


def test_a_lost_champion_is_a_no(with_champion):
    world = with_champion
    for bundle in paths.bundles(world.settings).iterdir():
        (bundle / "weights.safetensors").write_bytes(b"gone")
    decision = decided(world, world.model(DAY, "sharp"))
    assert decision["verdict"] == "no"
    assert "checksum" in decision["reasons"][0]


def test_again_gives_the_same_decision_and_no_commit(world):
    table = lookup_table.run(world.model(DAY, "sharp"), world.settings)
    first = gate.run(table, world.settings)
    text, version = first.read_text(), DeltaTable(paths.table(world.settings, "gate_decisions")).version()
    assert gate.run(table, world.settings) == first
    assert first.read_text() == text
    assert DeltaTable(paths.table(world.settings, "gate_decisions")).version() == version


def test_the_truth_is_a_figure_and_never_a_reason(world):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = lookup_table.run(world.model(DAY, "dull"), world.settings)
    without = gate.run(table, world.settings)
    plain = world.decision(without)
    where = world.settings.landing_path / "truth" / f"day={DAY}"
    where.mkdir(parents=True)
    ids = [f"{u:03d}-{n:03d}" for u in range(60) for n in range(20)]
    rates = (0.02, 0.1, 0.3, 0.6)
    p = [rates[u % 4] for u in range(60) for _ in range(20)]
    pq.write_table(pa.table({"impression_id": ids, "p": p}), where / "truth.parquet")
    artifacts.fresh(without.parent)
    told = world.decision(gate.run(table, world.settings))
    assert plain["best_possible_auc"] is None
    assert told["best_possible_auc"] > told["figures"]["challenger"]["auc"]
    told["best_possible_auc"] = None
    assert json.dumps(told) == json.dumps(plain)


def test_scores_are_those_of_the_training_side(world):
    """The gate's numpy forward equals torch on the same rows and the same vectors."""
    import torch

    from release.held_out import read_day, score
    from serving.bundle import open_bundle
    from training.model import embed_pictures, load_model, tensors
    from training.reader import open_table

    model = world.model(DAY, "sharp")
    address = gate.run(lookup_table.run(model, world.settings), world.settings)
    rows = read_day(open_table(paths.table(world.settings, "ad_groups")), DAY, feature_set("daily"))
    bundle = open_bundle(address.parent / "candidate", named=False)
    mine, known = score("x", bundle, rows)
    loaded = load_model(model.parent)
    vectors = bundle.table.of(rows.ad_id.tolist())[0]
    with torch.inference_mode():
        logits = loaded.net.dcn(tensors(loaded.features, loaded.maps, rows.codes), torch.from_numpy(np.array(vectors)))
    np.testing.assert_allclose(mine.values, torch.sigmoid(logits).numpy(), atol=1e-5)
    fallback = embed_pictures(model.parent, [(None, None)], world.settings)[0]
    np.testing.assert_allclose(vectors[~known], np.broadcast_to(fallback, vectors[~known].shape), atol=1e-5)  # fp16
