"""Stage 5 for a day: learns, returns what is finished, starts warm from the CNN only, and its files load."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import safetensors.numpy
from deltalake import DeltaTable, write_deltalake
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from pydantic import ValidationError

from contracts import artifacts, paths
from contracts.errors import DamagedArtifact, InputError, MissingArtifact, PrerequisiteError, SettingsError
from contracts.features import feature_set
from contracts.hashing import code
from contracts.report import read_all
from contracts.settings import Settings
from training import model
from training.__main__ import main
from training.evaluate import score_day
from training.parent import parent_of
from training.recipes import RECIPES, Recipe, recipe, tiny
from training.train import train_day

Made = Callable[..., Settings]
DAY = date(2026, 1, 8)


def log(settings: Settings, *rows: tuple[str, int, str | None]) -> None:
    columns = ("day", "publication", "model")
    written = [dict(zip(columns, row, strict=True)) for row in rows]
    schema = pa.schema([("day", pa.string()), ("publication", pa.int64()), ("model", pa.string())])
    write_deltalake(paths.table(settings, "publication_log"), pa.Table.from_pylist(written, schema), mode="append")


def test_a_day_trains_learns_and_is_returned_when_run_again(make: Made) -> None:
    settings = make(days=8, impressions=1_500, ads=80)
    address = train_day(DAY, settings)
    manifest = artifacts.read(address)
    assert manifest.interval == ("2026-01-01", "2026-01-08") and manifest.rows["impressions"] == 7 * 1_500
    assert manifest.figures["train_log_loss"] < manifest.figures["train_first_log_loss"]
    (report,) = read_all(settings, "2026-01-08")
    assert (report.stage, report.rows_in) == ("5-train", 10_500)

    made = address.stat().st_mtime_ns
    assert train_day(DAY, settings) == address and address.stat().st_mtime_ns == made
    other = settings.model_copy(update={"seed": 7})
    assert train_day(DAY, other) != address

    loaded = model.load_model(address.parent)
    scored = score_day(loaded, "2026-01-08", settings)
    assert len(scored.score) == 1_500 and ((scored.score > 0) & (scored.score < 1)).all()
    weights = safetensors.numpy.load_file(address.parent / model.WEIGHTS_FILE)
    assert {name.split(".")[0] for name in weights} == {"dcn", "cnn", "alone"}
    assert weights["dcn.embedding.gender.weight"].shape == (loaded.maps["gender"].rows, 4)
    assert not weights["dcn.embedding.title_words.weight"][0].any()  # padding stays zero
    config = json.loads((address.parent / model.CONFIG).read_bytes())
    assert config["features"] == [f.name for f in feature_set("daily")] and config["visual_dimension"] == 8

    pairs = [(str(scored_image), code("k1")) for scored_image in _images(settings)[:3]] + [(None, None)]
    vectors = model.embed_pictures(address.parent, pairs, settings)
    assert vectors.shape == (4, 8) and vectors.dtype == np.float32 and np.ptp(vectors[:3], axis=0).max() > 0
    np.testing.assert_allclose(model.embed_pictures(address.parent, pairs, settings, at_once=1), vectors, atol=1e-5)

    (address.parent / model.WEIGHTS_FILE).write_bytes(b"cut")
    with pytest.raises(DamagedArtifact):
        train_day(DAY, settings)


@pytest.mark.parametrize("grouping, table", [("user", "user_groups"), ("none", "ad_groups")])
def test_another_grouping_changes_only_what_is_read(make: Made, grouping: str, table: str) -> None:
    settings = make(days=8, impressions=60, ads=10, users=True)
    chosen = tiny().model_copy(update={"grouping": grouping, "epochs": 2})
    manifest = artifacts.read(train_day(DAY, settings, chosen))
    assert manifest.rows["impressions"] == 7 * 60 and manifest.interval == ("2026-01-01", "2026-01-08")
    assert manifest.versions == {table: DeltaTable(paths.table(settings, table)).version()}
    assert 0 < manifest.figures["train_waited"] < manifest.figures["train_seconds"]


def test_too_many_missing_pictures_stop_the_run(make: Made) -> None:
    settings = make(days=8, impressions=60, ads=10)
    for name in _images(settings)[:8]:
        (paths.images(settings) / f"{name}.jpg").unlink()
    with pytest.raises(InputError, match="missing or unreadable.*unreadable_bound"):
        train_day(DAY, settings)


def test_mlflow_that_does_not_answer_costs_no_training(
    make: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings = make(days=8, impressions=60, ads=10)
    chosen = {"HOME": settings.home, "LANDING": settings.landing, "RECIPE": "tiny"}
    for name, value in {**chosen, "MLFLOW_URI": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(f"ADLENS_{name}", str(value))
    assert main(["train", "--day", "2026-01-08"]) == 3  # of a prerequisite: Airflow tries it again
    assert "nothing is trained again" in capsys.readouterr().err
    (address,) = (paths.artifacts(settings) / "model" / "2026-01-08").glob(f"*/{artifacts.MANIFEST}")
    finished = artifacts.read(address)
    assert finished.figures["mlflow_run_id"] == "" and finished.rows["impressions"] == 7 * 60

    def forbidden(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("training.loop.Loop.run", forbidden)
    assert main(["train", "--day", "2026-01-08"]) == 3  # it is still away
    monkeypatch.delenv("ADLENS_MLFLOW_URI")
    assert main(["train", "--day", "2026-01-08"]) == 0
    told = artifacts.read(address)
    run = MlflowClient(settings.mlflow_tracking_uri).get_run(told.figures["mlflow_run_id"])
    assert run.info.status == "FINISHED" and run.data.params["day"] == "2026-01-08"
    assert run.data.metrics["train_log_loss"] == pytest.approx(told.figures["train_log_loss"])
    assert told.files == finished.files and told.key == finished.key
    text = address.read_text()
    assert main(["train", "--day", "2026-01-08"]) == 0 and address.read_text() == text


def test_mlflow_that_goes_away_while_a_model_is_trained(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The points of the curves wait, and the run is gone on with: neither is lost, nor is there a second run."""
    settings, real, calls = make(days=8, impressions=400, ads=40), MlflowClient.log_metric, []

    def away(self: MlflowClient, *told: Any, **more: Any) -> None:
        calls.append(told)
        if len(calls) in (2, 4):
            raise MlflowException("gone")
        real(self, *told, **more)

    monkeypatch.setattr(MlflowClient, "log_metric", away)
    with pytest.raises(PrerequisiteError, match="gone"):
        train_day(DAY, settings, tiny())
    client = MlflowClient(settings.mlflow_tracking_uri)
    (experiment,) = client.search_experiments(filter_string="name = 'adlens'")
    address = train_day(DAY, settings, tiny())
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == artifacts.read(address).figures["mlflow_run_id"] and run.info.status == "FINISHED"
    assert len(calls) > 4 and "are lost" in read_all(settings, "2026-01-08")[-1].remarks[-1]


def test_an_error_of_the_training_is_told_though_mlflow_is_away(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make(days=8, impressions=60, ads=10)
    for name in _images(settings)[:8]:
        (paths.images(settings) / f"{name}.jpg").unlink()

    def gone(*_: object) -> None:
        raise MlflowException("gone")

    monkeypatch.setattr(MlflowClient, "set_terminated", gone)
    with pytest.raises(InputError, match="missing or unreadable"):
        train_day(DAY, settings)


def _images(settings: Settings) -> list[str]:
    return sorted(path.stem for path in paths.images(settings).glob("*.jpg"))


def test_the_held_out_day_is_never_read(make: Made) -> None:
    settings = make(days=9)
    with_day = train_day(DAY, settings)
    table = DeltaTable(paths.table(settings, "ad_groups"))
    table.delete("day >= '2026-01-08'")
    assert train_day(DAY, settings) == with_day  # what happened on D or later changes nothing


def test_the_parent_is_of_a_day_before_and_gives_its_cnn_only(make: Made) -> None:
    settings = make(days=9)
    assert parent_of(DAY, settings) is None
    first = train_day(DAY, settings)
    log(settings, ("2026-01-07", 1, None), ("2026-01-08", 2, str(first)))
    assert parent_of(DAY, settings) is None  # its own day's publication does not count
    assert parent_of(date(2026, 1, 9), settings) == first

    second = train_day(date(2026, 1, 9), settings)
    assert artifacts.read(second).parent == str(first)
    assert "warm start of the CNN from" in read_all(settings, "2026-01-09")[-1].remarks[0]


def test_a_parent_of_another_version_is_no_start_and_a_damaged_one_stops(make: Made) -> None:
    settings, next_day = make(days=9, impressions=60), date(2026, 1, 9)
    first = train_day(DAY, settings)
    log(settings, ("2026-01-08", 1, str(first)))
    file = first.parent / model.ROWS_JSON
    file.write_text(file.read_text() + " ")
    with pytest.raises(DamagedArtifact, match="rows.json does not match the checksum"):
        train_day(next_day, settings)
    file.write_text('{"written": "by another version"}')
    artifacts.finish(first.parent, artifacts.read(first, check_files=False))
    assert artifacts.read(train_day(next_day, settings)).parent is None
    (remark,) = (one for one in read_all(settings, "2026-01-09")[-1].remarks if "start" in one)
    assert remark.startswith("cold start, at random: the parent's CNN cannot be read, it is of another version")
    assert str(first) in remark


def test_a_logged_parent_that_is_gone_stops_the_run(make: Made) -> None:
    settings = make(days=8)
    log(settings, ("2026-01-05", 1, "/gone/manifest.json"))
    with pytest.raises(MissingArtifact, match="/gone/manifest.json"):
        train_day(DAY, settings)


def test_recipes_refuse_unknown_keys_and_names() -> None:
    with pytest.raises(ValidationError, match="learning_rate"):
        Recipe.model_validate({"name": "x", "learning_rate": 1})
    with pytest.raises(SettingsError, match="no recipe 'dialy'"):
        recipe("dialy")
    for name in RECIPES:
        assert Recipe.model_validate(recipe(name).model_dump(mode="json")) == recipe(name)


@pytest.mark.parametrize(
    "text, words",
    [
        ("base: tiny\ndense_rate: 0.5\n", None),
        ("base: tiny\ndense_rat: 0.5\n", "dense_rat"),
        ("dense_rate: 0.5\n", "base"),
        ("- a list\n", "holds `base: daily`"),
        ("base: nothing\n", "no recipe 'nothing'"),
    ],
)
def test_a_variant_is_a_file_of_what_differs(tmp_path: Path, text: str, words: str | None) -> None:
    file = tmp_path / "faster.yaml"
    file.write_text(text)
    if words is None:
        assert recipe(str(file)) == tiny().model_copy(update={"name": "faster", "dense_rate": 0.5})
    else:
        with pytest.raises(SettingsError, match=words):
            recipe(str(file))


def test_the_command_prints_the_address_and_explains_errors(
    make: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    settings = make(days=8)
    for name, value in {"HOME": settings.home, "LANDING": settings.landing, "RECIPE": "tiny"}.items():
        monkeypatch.setenv(f"ADLENS_{name}", str(value))
    assert main(["train", "--day", "2026-01-08", "--address-file", str(tmp_path / "a")]) == 0
    address = capsys.readouterr().out.strip()
    assert (tmp_path / "a").read_text() == address and artifacts.read(address).kind == "model"
    assert main(["train", "--day", "2026-01-03"]) == 2
    assert "error: run 2026-01-03 trains on" in capsys.readouterr().err
    assert main(["train", "--day", "3 January"]) == 2
