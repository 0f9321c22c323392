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
from contracts.release_tables import RELEASE_TABLES
from release.judging import gate
from release.judging.evidence import DIMENSIONS
from release.lookup import lookup_table
from release.publishing import publish

DAY, BEFORE, AFTER = "2026-01-20", "2026-01-19", "2026-01-21"


def decided(world, model: Path) -> dict:
    return world.decision(gate.run(lookup_table.run(model, world.settings), world.settings))


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


def test_a_reduction_fitted_on_the_held_out_day_is_refused(world):
    table = lookup_table.run(world.model(DAY, "sharp"), world.settings)
    manifest = artifacts.read(table)
    for end, verdict in ((DAY, "yes"), (AFTER, "no")):
        artifacts.finish(table.parent, manifest.model_copy(update={"interval": ("2026-01-10", end)}))
        decision = world.decision(gate.run(table, world.settings))
        assert decision["verdict"] == verdict, decision["reasons"]
    assert "the lookup table of the challenger was fitted on" in decision["reasons"][0]


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


def test_stale_features_are_refused(world):
    """The day's groups carry a snapshot that is not the one before the day; scores and labels are as they were."""
    world.snapshots(BEFORE, turn=1)
    decision = decided(world, world.model(DAY, "sharp"))
    assert decision["verdict"] == "no"
    assert "not those of the snapshot before it" in decision["reasons"][0] and "user_ctr_7d" in decision["reasons"][0]
    DeltaTable(paths.table(world.settings, "user_features")).delete(f"day = '{BEFORE}'")
    assert "holds no snapshot" in decided(world, world.model(DAY, "sharp", seed=1))["reasons"][0]


def test_with_a_publication_delay_the_snapshot_before_the_last_one_is_fresh_too(world):
    world.snapshots(BEFORE, turn=1)
    world.snapshots("2026-01-18")
    delayed = world.settings.model_copy(update={"publication_delay_minutes": 90})
    table = lookup_table.run(world.model(DAY, "sharp"), delayed)
    assert world.decision(gate.run(table, delayed))["verdict"] == "yes"
    assert world.decision(gate.run(table, world.settings.model_copy(update={"seed": 2})))["verdict"] == "no"


def test_too_good_to_be_true_waits_and_publishes_nothing(with_champion):
    world = with_champion
    strict = world.settings.model_copy(update={"gate_suspicious_gain": 0.001})
    address = gate.run(lookup_table.run(world.model(DAY, "sharp"), strict), strict)
    assert world.decision(address)["verdict"] == "wait"
    assert gate.sentences(gate.read_decision(address))[0].startswith("WAIT")
    entry = publish.run(address, strict)
    assert entry is not None and entry.action == "keep" and "adlens promote" in entry.reason


def test_what_it_costs_to_serve_is_judged(world):
    narrow = world.settings.model_copy(update={"gate_min_coverage": 0.9})  # two of twelve ads entered on the day
    decision = world.decision(gate.run(lookup_table.run(world.model(DAY, "sharp"), narrow), narrow))
    assert decision["verdict"] == "no" and "gate_min_coverage" in decision["reasons"][0]
    service = decision["service"]
    assert service["coverage"] == pytest.approx(1 - decision["impressions_by_fallback"] / decision["impressions"])
    assert service["bundle_bytes"] > 1000 and service["latency_ms"] > 0


def test_the_decision_is_rows_pictures_and_a_rule(with_champion):
    world = with_champion
    address = gate.run(lookup_table.run(world.model(DAY, "sharp"), world.settings), world.settings)
    decision = gate.read_decision(address)
    for name in ("roc.png", "calibration.png", "slices.png"):
        assert (address.parent / name).read_bytes()[:4] == b"\x89PNG"
    assert "Yes if and only if" in decision["rule"] and decision["limits"]["min_clicks"] == 30
    table = DeltaTable(paths.table(world.settings, "evaluation_slices")).to_pyarrow_table()
    assert table.column_names == RELEASE_TABLES["evaluation_slices"].names()
    rows = [row for row in table.to_pylist() if row["day"] == DAY]
    assert [{**row, "day": 0, "key": 0} for row in rows] == [{**one, "day": 0, "key": 0} for one in decision["slices"]]
    of = {dimension: [row for row in rows if row["dimension"] == dimension] for dimension in DIMENSIONS}
    assert all(sum(row["rows"] for row in each) == 1200 for each in of.values()), "each row in one slice a dimension"
    assert {row["slice"] for row in of["category"]} == {"c0", "c1", "c2"}
    outside = next(row for row in of["table"] if row["slice"] == "outside the table")
    assert outside["rows"] == decision["impressions_by_fallback"]
    assert all(row["champion_auc"] is not None for row in of["category"])
    logged = DeltaTable(paths.table(world.settings, "gate_decisions")).to_pyarrow_table().to_pylist()
    assert json.loads(next(row for row in logged if row["day"] == DAY)["figures"]) == decision


def test_the_decision_is_written_into_the_trainings_run_once(world):
    from release.judging.tracked_decision import track
    from release.versions.registry import client_of
    from training.tracking import Run

    settings = world.settings.model_copy(update={"mlflow_uri": None})  # files go where the home is
    run = Run(settings, "a training", {})
    model = world.model(DAY, "sharp")
    manifest = artifacts.read(model)
    artifacts.finish(model.parent, manifest.model_copy(update={"figures": {"mlflow_run_id": run.id, "recipe": "tiny"}}))
    address = gate.run(lookup_table.run(model, settings), settings)
    assert track(address, settings) == track(address, settings) == run.id
    client = client_of(settings)
    data = client.get_run(run.id).data
    assert data.tags[f"gate.{DAY}.verdict"] == "yes" and "lower bound" in data.tags[f"gate.{DAY}.reasons"]
    assert data.metrics["gate_auc"] == pytest.approx(gate.read_decision(address)["figures"]["challenger"]["auc"])
    assert len(client.get_metric_history(run.id, "gate_auc")) == 1
    kept = {file.path for file in client.list_artifacts(run.id, f"gate/{DAY}")}
    assert {f"gate/{DAY}/decision.json", f"gate/{DAY}/roc.png"} <= kept


def test_an_mlflow_that_lost_the_run_is_told_and_the_publication_stands(world):
    model = world.model(DAY, "sharp")
    table = lookup_table.run(model, world.settings)
    address = gate.run(table, world.settings)
    assert publish.run(address, world.settings).action == "publish"
    lost = artifacts.read(model).model_copy(update={"figures": {"mlflow_run_id": "0" * 32, "recipe": "tiny"}})
    artifacts.finish(model.parent, lost)
    from release.judging.tracked_decision import track

    with pytest.raises(MissingArtifact, match="MLflow does not take.*adlens publish --decision"):
        track(address, world.settings)
    assert paths.pointer(world.settings).is_file()


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
    for decision in (plain, told):
        assert decision["service"].pop("latency_ms") > 0
    assert json.dumps(told) == json.dumps(plain)


def test_scores_are_those_of_the_training_side(world):
    """The gate's numpy forward equals torch on the same rows and the same vectors."""
    import torch

    from release.judging.held_out import read_day, score
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
