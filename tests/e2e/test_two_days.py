"""Two days on a tiny landing set, every engine real: the first by `dags test`, the second by the running scheduler."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable

from contracts.delta_dataset import dataset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
REPOSITORY = Path(__file__).resolve().parents[2]
DAY_ONE, DAY_TWO = "2026-01-09", "2026-01-10"
SIZES = "--impressions 3000 --ads 120 --users 200 --image-size 24".split()


class Home:
    """An ADLENS_HOME of its own with the set-up's JARs, and a landing folder made by the generator."""

    def __init__(self, folder: Path, setup: Path):
        self.path, self.landing = folder / "home", folder / "landing"
        self.path.mkdir()
        (self.path / "jars").symlink_to(setup / "jars")
        (self.path / "java_home").write_text((setup / "java_home").read_text())
        own = {"HOME": self.path, "WINDOW_DAYS": 8, "RECIPE": "tiny", "BOOTSTRAP_SAMPLES": 200, "LANDING": self.landing}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ADLENS_")}
        self.environment = kept | {f"ADLENS_{name}": str(value) for name, value in own.items()}
        self.landing.mkdir()
        self.adlens("landing", "generate", *SIZES, "--end", "2026-01-12", "--out", str(self.landing))

    def adlens(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "adlens", *words],
            env=self.environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=1500,
        )  # fmt: skip
        assert done.returncode == code, f"adlens {' '.join(words)}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done

    def versions(self) -> dict[str, int]:
        """Delta version of every table."""
        logs = (self.path / "tables").rglob("_delta_log")
        return {str(log.parent.relative_to(self.path / "tables")): DeltaTable(log.parent).version() for log in logs}

    def log(self) -> list[dict]:
        table = dataset(DeltaTable(self.path / "tables" / "publication_log")).to_table()
        return sorted(table.to_pylist(), key=lambda row: row["publication"])

    def pointer(self) -> dict:
        return json.loads((self.path / "serving" / "current.json").read_text())

    def landing_digest(self) -> list[tuple[str, int]]:
        files = sorted(file for file in self.landing.rglob("*") if file.is_file())
        return [(str(file.relative_to(self.landing)), file.stat().st_mtime_ns) for file in files]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    setup = Path(os.environ.get("ADLENS_HOME", REPOSITORY / ".adlens"))
    if not any((setup / "jars").glob("*.jar")):
        pytest.skip(f"Delta's JARs are not in {setup / 'jars'}; run `make setup`")
    made = Home(tmp_path_factory.mktemp("e2e"), setup)
    yield made
    made.adlens("down")


@pytest.fixture(scope="module")
def day_one(home):
    before = home.landing_digest()
    home.said = home.adlens("day").stdout
    assert home.landing_digest() == before, "something wrote into the landing folder"
    return home


def test_the_first_day_runs_and_says_what_it_did(day_one):
    said = day_one.said
    for words in ("1-impressions", "8-publish", "impressions@", "challenger", "best possible", "rollback", ".jpg"):
        assert words in said, said
    reports = {file.stem for file in (day_one.path / "runs" / DAY_ONE).glob("*.json")}
    assert reports == {
        "1-impressions", "2-quality", "3-features", "3-materialise", "4-groups",
        "5-train", "6-lookup-table", "7-gate", "8-publish",
    }  # fmt: skip


def test_every_engine_left_its_output(day_one):
    tables = day_one.versions()
    for name in ("impressions", "clicks", "ads", "user_features", "ad_features", "ad_groups", "user_groups"):
        assert name in tables, tables
    assert list((day_one.path / "gx").rglob("index.html")), "Great Expectations wrote no Data Docs"
    assert list((day_one.path / "feast").rglob("*.db")), "Feast has no registry or online store"
    assert (day_one.path / "mlflow" / "mlflow.db").is_file()


def test_the_first_champion_is_published(day_one):
    assert [(row["day"], row["action"]) for row in day_one.log()] == [(DAY_ONE, "publish")]
    assert day_one.pointer()["day"] == DAY_ONE


def test_the_predictor_answers(day_one):
    shown = dataset(DeltaTable(day_one.path / "tables" / "impressions"), [DAY_ONE]).to_table().to_pandas()
    ads = ",".join(sorted(set(shown["ad_id"]))[:5])
    said = day_one.adlens("predict", "--user", shown["user_id"][0], "--ads", ads, "--json").stdout
    answer = json.loads(said.splitlines()[-1])
    assert [ad["ad"] for ad in answer["ads"]] == ads.split(",")
    assert all(0 < ad["ctr"] < 1 for ad in answer["ads"]) and len({ad["ctr"] for ad in answer["ads"]}) > 1


def test_the_same_day_again_commits_nothing(day_one):
    before, served, rows = day_one.versions(), day_one.pointer(), day_one.log()
    day_one.adlens("day", "--day", DAY_ONE)
    assert day_one.versions() == before
    assert day_one.pointer() == served and day_one.log() == rows


def test_the_second_day_goes_through_the_scheduler_and_succeeds_the_first(day_one):
    up = day_one.adlens("up").stdout
    assert "http://127.0.0.1:" in up
    said = day_one.adlens("day").stdout
    assert f"run of {DAY_TWO}" in said
    runs = list((day_one.path / "airflow" / "logs" / "dag_id=adlens_daily").glob(f"run_id=day__{DAY_TWO}__*"))
    assert len(runs) == 1, "the day did not go through the scheduler"
    log = day_one.log()
    assert [(row["day"], row["action"]) for row in log] == [(DAY_ONE, "publish"), (DAY_TWO, "publish")]
    assert log[1]["bundle"] != log[0]["bundle"] == _decision(day_one, DAY_TWO)["champion"]
    assert day_one.pointer()["day"] == DAY_TWO
    day_one.adlens("down")


def test_rollback_serves_the_first_day_again(day_one):
    if len(day_one.log()) < 2:
        pytest.fail("nothing to roll back to")
    day_one.adlens("rollback")
    log = day_one.log()
    assert log[-1]["action"] == "rollback" and day_one.pointer()["bundle"] == log[0]["bundle"]


def _decision(home: Home, day: str) -> dict:
    files = list((home.path / "artifacts" / "decision" / day).glob("*/decision.json"))
    return json.loads(max(files, key=lambda file: file.stat().st_mtime).read_text())


def test_a_day_that_never_landed_is_explained(day_one):
    done = day_one.adlens("day", "--day", "2026-03-01", code=2)
    assert done.stderr.startswith("error: ") and "2026-01-11" in done.stderr


def test_another_landing_folder_wants_another_home(day_one, tmp_path):
    done = day_one.adlens("day", "--landing", str(tmp_path), code=6)
    assert "ADLENS_HOME" in done.stderr
