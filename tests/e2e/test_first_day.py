"""Day one: all eight stages, a publication, a request that is answered."""

import json

import pytest
from deltalake import DeltaTable

from tests.e2e.conftest import DAY_ONE, Home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


def test_it_says_what_it_did(day_one: Home):
    said = day_one.said["one"]
    for words in ("1-impressions", "8-publish", "impressions@", "challenger", "best possible", "rollback", ".jpg"):
        assert words in said, said
    reports = {file.stem for file in (day_one.path / "runs" / DAY_ONE).glob("*.json")}
    assert reports == {
        "1-impressions", "2-quality", "3-features", "3-materialise", "4-groups",
        "5-train", "6-lookup-table", "7-gate", "8-publish",
    }  # fmt: skip


def test_it_needed_no_network(day_one: Home):
    if not day_one.isolated:
        pytest.skip("user namespaces are not allowed here: the day ran with the machine's network in reach")
    assert day_one.pointer()["day"] == DAY_ONE


def test_every_engine_left_its_output(day_one: Home):
    tables = day_one.versions()
    for name in ("impressions", "clicks", "ads", "user_features", "ad_features", "ad_groups", "user_groups"):
        assert name in tables, tables
    assert list((day_one.path / "gx").rglob("index.html")), "Great Expectations wrote no Data Docs"
    assert {file.name for file in (day_one.path / "feast").glob("*.db")} == {"registry.db", "online.db"}
    assert (day_one.path / "mlflow" / "mlflow.db").is_file()


def test_the_challenger_beat_both_baselines_and_is_served(day_one: Home):
    assert day_one.log()[0]["action"] == "publish" and day_one.log()[0]["day"] == DAY_ONE
    assert "gate: yes" in day_one.said["one"]


def test_the_predictor_answers(day_one: Home):
    shown = day_one.rows("impressions", DAY_ONE)
    ads = sorted({row["ad_id"] for row in shown})[:5]
    said = day_one.adlens("predict", "--user", shown[0]["user_id"], "--ads", ",".join(ads), "--json").stdout
    answer = json.loads(said.splitlines()[-1])
    assert [ad["ad"] for ad in answer["ads"]] == ads
    assert all(0 < ad["ctr"] < 1 for ad in answer["ads"]) and len({ad["ctr"] for ad in answer["ads"]}) > 1


def test_nothing_but_the_log_has_labels_and_no_table_has_truth(day_one: Home):
    for name in ("user_features", "ad_features"):
        columns = {one.name for one in DeltaTable(day_one.path / "tables" / name).schema().fields}
        assert not columns & {"label", "clicked_at", "probability"}, columns


def test_a_day_that_never_landed_is_explained(day_one: Home):
    done = day_one.adlens("day", "--day", "2026-03-01", code=2)
    assert done.stderr.startswith("error: ") and "2026-01-11" in done.stderr


def test_another_landing_folder_wants_another_home(day_one: Home, tmp_path):
    done = day_one.adlens("day", "--landing", str(tmp_path), code=6)
    assert "ADLENS_HOME" in done.stderr
