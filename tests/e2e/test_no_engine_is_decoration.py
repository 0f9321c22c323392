"""Take away what an engine made, and the next stage stops and says what is missing."""

import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import DAY_TWO, Home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


@pytest.fixture
def copy(day_two: Home, tmp_path: Path) -> Home:
    return day_two.copied(tmp_path / "home")


@pytest.mark.parametrize(
    "removed, command, words",
    [
        pytest.param("tables/staged", "spark_jobs quality", "run stage 1", id="spark"),
        pytest.param("tables/impressions", "spark_jobs features", "quality", id="great-expectations"),
        pytest.param("tables/ad_features", "spark_jobs materialise", "run features", id="spark-features"),
        pytest.param("feast/online.db", "serving predict --user u --ads a", "materialise", id="feast-online"),
        pytest.param("feast/registry.db", "serving predict --user u --ads a", "materialise", id="feast-registry"),
        pytest.param("tables/ad_groups", "training train", "groups", id="groups"),
        pytest.param("serving/current.json", "serving predict --user u --ads a", "publish", id="publication"),
        pytest.param("bundles", "serving predict --user u --ads a", "bundle", id="bundle"),
    ],
)
def test_the_next_stage_stops(copy: Home, removed: str, command: str, words: str):
    gone = copy.path / removed
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    day = {"spark_jobs": ["--start", DAY_TWO], "training": ["--day", DAY_TWO]}.get(command.split()[0], [])
    done = copy.run(*command.split(), *day)
    assert done.returncode > 1, done.stdout[-2000:]
    assert done.stderr.strip().splitlines()[-1].startswith("error: ") and words in done.stderr, done.stderr[-2000:]


@pytest.mark.parametrize(
    "kind, command",
    [("model", "lookup-table --model"), ("table", "gate --table"), ("decision", "publish --decision")],
)
def test_a_step_stops_without_the_manifest_of_the_step_before(day_two: Home, copy: Home, kind: str, command: str):
    made = next((copy.path / "artifacts" / kind / DAY_TWO).glob("*/manifest.json"))
    made.unlink()
    done = copy.run("release", *command.split(), str(made))
    assert done.returncode > 1 and done.stderr.strip().splitlines()[-1].startswith("error: "), done.stderr[-2000:]


def test_publish_stops_without_mlflows_record(copy: Home):
    shutil.rmtree(copy.path / "mlflow")
    decision = copy.log()[-1]["decision"]
    done = copy.run("release", "publish", "--decision", decision)
    assert done.returncode > 1 and "MLflow" in done.stderr, done.stderr[-2000:]
