"""Two days on a small landing set, every engine real. The fixtures run the days, once for all tests of this folder:

day_one     `airflow dags test`, in a namespace without a network where the machine allows one
refused     day two with a recipe that somebody mistyped: a damaged challenger through the same DAG
day_two     day two again by the running scheduler, with the proper recipe
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from contracts.delta_dataset import dataset
from contracts.settings import Settings, load

REPOSITORY = Path(__file__).resolve().parents[2]
DAY_ONE, DAY_TWO = "2026-01-09", "2026-01-10"
# Half of the default data, so that the default recipe meets the same shares of new ads and rows an ad.
SIZES = "--impressions 6000 --ads 400 --users 1000 --image-size 32".split()
NO_NETWORK = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def namespaces_allowed() -> bool:
    try:
        return subprocess.run([*NO_NETWORK, "true"], capture_output=True, timeout=60).returncode == 0
    except FileNotFoundError:
        return False


@dataclass
class Home:
    """An ADLENS_HOME with the set-up's JARs, and a landing folder made by the generator."""

    path: Path
    landing: Path
    recipe: str = "daily"
    said: dict[str, str] = field(default_factory=dict)  # by what ran
    isolated: bool = False

    def environment(self) -> dict[str, str]:
        own = {
            "HOME": self.path, "LANDING": self.landing, "RECIPE": self.recipe, "WINDOW_DAYS": 8,
            "BOOTSTRAP_SAMPLES": 200,
        }  # fmt: skip
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ADLENS_")}
        return kept | {f"ADLENS_{name}": str(value) for name, value in own.items()}

    def settings(self) -> Settings:
        return load(self.environment())

    def run(self, *words: str, before: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        """`python -m words`."""
        return subprocess.run(
            [*(before or []), sys.executable, "-m", *words],
            env=self.environment(), cwd=REPOSITORY, capture_output=True, text=True, timeout=1500,
        )  # fmt: skip

    def adlens(self, *words: str, code: int = 0, before: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        done = self.run("adlens", *words, before=before)
        assert done.returncode == code, f"adlens {' '.join(words)}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done

    def versions(self) -> dict[str, int]:
        """Delta version of every table."""
        logs = (self.path / "tables").rglob("_delta_log")
        return {str(log.parent.relative_to(self.path / "tables")): DeltaTable(log.parent).version() for log in logs}

    def rows(self, table: str, day: str | None = None) -> list[dict[str, Any]]:
        days = None if day is None else [day]
        return list(dataset(DeltaTable(self.path / "tables" / table), days).to_table().to_pylist())

    def log(self) -> list[dict[str, Any]]:
        return sorted(self.rows("publication_log"), key=lambda row: row["publication"])

    def pointer(self) -> dict[str, Any]:
        return dict(json.loads((self.path / "serving" / "current.json").read_text()))

    def landing_state(self) -> list[tuple[str, int]]:
        files = sorted(file for file in self.landing.rglob("*") if file.is_file())
        return [(str(file.relative_to(self.landing)), file.stat().st_mtime_ns) for file in files]

    def copied(self, into: Path) -> Home:
        """The home elsewhere, without its caches: the pictures' are sparse files, and a copy is not. Addresses inside
        (manifests' inputs) still name the original's files."""
        left = shutil.ignore_patterns("airflow", "logs", "spark-*", "pictures")
        shutil.copytree(self.path, into, symlinks=True, ignore=left)
        _move_online_store(self.path / "feast", into / "feast")
        return Home(into, self.landing)


def _move_online_store(old: Path, new: Path) -> None:
    described = new / "online.yaml"
    described.write_text(described.read_text().replace(str(old), str(new)))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory):
    setup = Path(os.environ.get("ADLENS_HOME", REPOSITORY / ".adlens")).resolve()
    if not any((setup / "jars").glob("*.jar")):
        pytest.skip(f"Delta's JARs are not in {setup / 'jars'}; run `make setup`")
    folder = tmp_path_factory.mktemp("e2e")
    made = Home(folder / "home", folder / "landing")
    for one in (made.path, made.landing):
        one.mkdir()
    (made.path / "jars").symlink_to(setup / "jars")
    (made.path / "java_home").write_text((setup / "java_home").read_text())
    made.adlens("landing", "generate", *SIZES, "--end", "2026-01-12", "--out", str(made.landing))
    yield made
    made.adlens("down")


@pytest.fixture(scope="session")
def day_one(home: Home) -> Home:
    before = home.landing_state()
    home.isolated = namespaces_allowed()
    home.said["one"] = home.adlens("day", before=NO_NETWORK if home.isolated else None).stdout
    assert home.landing_state() == before, "something wrote into the landing folder"
    return home


@pytest.fixture(scope="session")
def online_of_day_one(day_one: Home, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a home whose online store stays at S(day one), whatever later days load into the real one."""
    kept = tmp_path_factory.mktemp("online")
    shutil.copytree(day_one.path / "feast", kept / "feast")
    _move_online_store(day_one.path / "feast", kept / "feast")
    return day_one.settings().model_copy(update={"home": kept})


@pytest.fixture(scope="session")
def refused(day_one: Home, online_of_day_one: Settings) -> Home:
    mistyped = day_one.path / "mistyped.yaml"
    mistyped.write_text("base: daily\ndense_rate: 2.0\n")
    day_one.recipe = str(mistyped)
    day_one.said["refused"] = day_one.adlens("day").stdout
    day_one.recipe = "daily"
    return day_one


@pytest.fixture(scope="session")
def day_two(refused: Home) -> Home:
    refused.said["before two"] = json.dumps(refused.versions())
    refused.said["up"] = refused.adlens("up").stdout
    refused.said["two"] = refused.adlens("day", "--day", DAY_TWO).stdout
    refused.adlens("down")
    return refused
