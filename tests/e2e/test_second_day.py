"""Day two: a damaged challenger is refused, the same day again changes nothing that stands, a good one goes in."""

import json

import pytest

from tests.e2e.conftest import DAY_ONE, DAY_TWO, Home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
STAGES_1_TO_4 = (
    "staged/impressions", "staged/quarantine", "impressions", "clicks", "behaviours", "ads", "users", "quarantine",
    "user_features", "ad_features", "ad_groups", "user_groups",
)  # fmt: skip


def test_a_damaged_challenger_is_refused_and_the_champion_gets_the_days_table(refused: Home):
    said = refused.said["refused"]
    assert f"run of {DAY_TWO}" in said and "gate: no" in said
    first, kept = refused.log()[:2]
    assert (kept["day"], kept["action"]) == (DAY_TWO, "keep")
    assert kept["model"] == first["model"] and kept["table"] != first["table"]


def test_the_same_day_again_commits_nothing_to_what_stands(day_two: Home):
    before, after = json.loads(day_two.said["before two"]), day_two.versions()
    assert {name: before[name] for name in STAGES_1_TO_4} == {name: after[name] for name in STAGES_1_TO_4}


def test_it_went_through_the_scheduler(day_two: Home):
    assert "http://127.0.0.1:" in day_two.said["up"]
    runs = list((day_two.path / "airflow" / "logs" / "dag_id=adlens_daily").glob(f"run_id=day__{DAY_TWO}__*"))
    assert len(runs) == 1, "the day did not go through the scheduler"


def test_it_succeeds_the_first_by_the_default_rule(day_two: Home):
    log = day_two.log()[:3]
    assert [(row["day"], row["action"]) for row in log] == [
        (DAY_ONE, "publish"), (DAY_TWO, "keep"), (DAY_TWO, "publish"),
    ]  # fmt: skip
    decision = json.loads(next(iter(_decisions(day_two, log[2]["decision"]))).read_text())
    assert decision["champion"] == log[0]["bundle"] != log[2]["bundle"], "its champion is what served before day two"


def _decisions(home: Home, address: str):
    return home.path.glob(f"artifacts/decision/*/{address.split('/')[-2]}/decision.json")


def test_the_release_again_commits_nothing(day_two: Home):
    before, served, log = day_two.versions(), day_two.pointer(), day_two.log()
    done = day_two.run("components", "run", "--day", DAY_TWO)
    assert done.returncode == 0, done.stderr[-2000:]
    assert day_two.versions() == before and day_two.pointer() == served and day_two.log() == log


def test_rollback_serves_the_first_model_again(day_two: Home):
    day_two.adlens("rollback", "--reason", "a test")
    log = day_two.log()
    assert log[-1]["action"] == "rollback" and log[-1]["model"] == log[0]["model"]
    assert day_two.pointer()["bundle"] == log[-1]["bundle"]
    assert "rollback" in day_two.adlens("history").stdout
