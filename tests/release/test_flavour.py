"""`mlflow.pyfunc.load_model` scores a data frame as the predictor does, and loads nothing but the bundle it names."""

from __future__ import annotations

from pathlib import Path

import mlflow
import mlflow.artifacts
import numpy as np
import pandas as pd
import pytest
from deltalake import DeltaTable

from contracts import paths
from contracts.errors import DamagedArtifact, InputError
from contracts.features import coded
from release.judging import gate
from release.judging.gate import CANDIDATE, read_decision
from release.judging.held_out import read_day, score
from release.lookup import lookup_table
from release.versions import registry
from serving.bundle import open_bundle

DAY = "2026-01-19"


@pytest.fixture
def at(days, monkeypatch, tmp_path):
    """(decision's folder, address of the version) of a model that was released."""
    for n in range(6):
        days.draw(f"{n:064x}", 40 * n)  # so that an ad's vector is not its category's, nor that the general one
    counts = np.full(8, 0.5, np.float32)  # the picture does
    model = days.model(DAY, "sharp", ("2026-01-09", DAY), visual=counts)
    decision = gate.run(lookup_table.run(model, days.settings), days.settings)
    number = registry.register(Path(read_decision(decision)["model"]), decision.parent / CANDIDATE, {}, days.settings)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(days.settings.mlflow_tracking_uri)
    yield decision.parent, f"models:/{days.settings.slot}/{number}"
    mlflow.set_tracking_uri(before)


def frame(bundle, rows) -> pd.DataFrame:
    """The values of which the world's groups hold the codes; all others are missing there as well."""
    made = pd.DataFrame({one.name: [None] * len(rows) for one in coded(bundle.features)})
    made["user_ctr_7d"] = [float(value) for value in rows.codes["user_ctr_7d"].codes]
    made["ad_id"] = rows.ad_id
    made["category_id"] = [f"c{int(ad[3:]) // 2 % 3}" for ad in rows.ad_id]
    made["gender"], made["hour"], made["price"] = "f", "8", 3.5
    made["query_words"] = [["red"]] * len(rows)
    return made


def test_a_frame_scores_as_the_predictor_and_a_missing_column_is_named(days, at):
    folder, address = at
    bundle = open_bundle(folder / CANDIDATE, named=False)
    rows = read_day(DeltaTable(paths.table(days.settings, "ad_groups")), DAY, bundle.features).take(np.arange(40))
    model = mlflow.pyfunc.load_model(address)
    scores = model.predict(frame(bundle, rows))
    rate = np.asarray(frame(bundle, rows)["user_ctr_7d"])
    assert scores.shape == (40,) and ((scores > 0) & (scores < 1)).all()
    assert np.corrcoef(scores, rate)[0, 1] > 0.9  # `sharp` reads the rate
    exact, known = score("the predictor's", bundle, rows)
    assert known.any() and not known.all()
    np.testing.assert_allclose(scores, exact.values, atol=1e-6)
    strangers = bundle.table.of(rows.ad_id[~known].tolist(), rows.codes["category_id"].take(np.flatnonzero(~known)))[0]
    assert np.abs(strangers - bundle.table.of(["stranger"])[0]).max() > 1e-3, "a category's vector is its own"
    with pytest.raises(InputError, match="lacks the columns user_ctr_7d"):
        model.predict(frame(bundle, rows).drop(columns="user_ctr_7d"))


def test_no_file_is_a_pickle_and_one_that_is_changed_or_foreign_is_refused(days, at, tmp_path):
    _, address = at
    copy = Path(mlflow.artifacts.download_artifacts(address, dst_path=str(tmp_path / "copy")))
    files = [one for one in copy.rglob("*") if one.is_file()]
    assert {one.suffix for one in files} <= {"", ".json", ".safetensors", ".table"}
    mlflow.pyfunc.load_model(str(copy))

    weights = next(copy.rglob("weights.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DamagedArtifact, match="checksum"):
        mlflow.pyfunc.load_model(str(copy))
    weights.write_bytes(whole)
    foreign = weights.with_name("python_model.pkl")
    foreign.write_bytes(b"cos\nsystem\n")
    with pytest.raises(DamagedArtifact, match="python_model.pkl"):
        mlflow.pyfunc.load_model(str(copy))
    foreign.unlink()
    described = weights.with_name("bundle.json")
    described.write_text(described.read_text().replace('"time_zone": "UTC"', '"time_zone": "CET"'))
    with pytest.raises(DamagedArtifact, match="not the name"):
        mlflow.pyfunc.load_model(str(copy))
