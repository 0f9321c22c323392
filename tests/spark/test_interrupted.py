"""Killed inside a stage or between two, and run again: the tables of an undisturbed run."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.faults import world
from benchmarks.faults.boundaries import every_boundary, some_boundaries
from benchmarks.faults.jobs import JOBS
from contracts.days import Days
from contracts.settings import Settings
from spark_jobs import features, groups, impressions, quality

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    LandingFolder = Any

DAYS = Days.parse("2026-01-01", "2026-01-03")
STAGES: dict[str, Callable[..., Any]] = {
    "impressions": impressions.run, "quality": quality.run, "features": features.run, "groups": groups.run,
}  # fmt: skip
# After how many commits: between the two kinds of groups, then between these and their figures; of a load when one of
# two views is there; of maintenance between two tables.
FEW = {"rebuild": (2, 1), "materialise": (6,), "maintain": (4,)}
REPOSITORY = Path(__file__).resolve().parents[2]


def fill(landing: LandingFolder) -> None:
    """Two days, with a late click, a copy, a click without impression, and behaviours."""
    for day in (1, 2):
        noon = dt.datetime(2026, 1, day, 12, tzinfo=dt.UTC)
        shown = [(f"i{n}", noon, "u", "a", n % 3, None) for n in range(300)]
        clicks = [(f"i{n}", noon + dt.timedelta(minutes=5), noon + dt.timedelta(minutes=5)) for n in range(day * 20)]
        late = [("i250", noon - dt.timedelta(hours=23), noon)] if day == 2 else []
        acted = [("u", "a", "view", noon - dt.timedelta(minutes=n)) for n in range(3)]
        extra = [shown[0]] if day == 1 else []
        landing.day(
            f"2026-01-0{day}", impressions=shown + extra, clicks=[*clicks, *late, ("gone", noon, noon)],
            behaviours=acted,
        )  # fmt: skip


def tables(spark: SparkSession, settings: Settings) -> dict[str, list[str]]:
    """Every table's rows as sorted text."""
    root = settings.home_path / "tables"
    found = {}
    for log in sorted(root.rglob("_delta_log")):
        name = str(log.parent.relative_to(root))
        rows = spark.read.format("delta").load(str(log.parent)).collect()
        found[name] = sorted(str(row.asDict(recursive=True)) for row in rows)
    return found


def home(root: Path, landing: Path) -> Settings:
    from tests.spark.conftest import link_setup

    link_setup(root)
    return Settings(home=root, landing=landing)


@pytest.fixture(scope="module")
def undisturbed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    from tests.spark.conftest import LandingFolder

    root = tmp_path_factory.mktemp("undisturbed")
    fill(LandingFolder(root / "landing"))
    settings = home(root / "home", root / "landing")
    for run in STAGES.values():
        run(spark, settings, DAYS)
    return settings


@pytest.mark.slow
def test_killed_after_every_commit_and_run_again(spark: SparkSession, undisturbed: Settings, tmp_path: Path) -> None:
    """Each attempt dies after one commit, the last has none left; together they make an undisturbed run's tables."""
    other = home(tmp_path, undisturbed.landing_path)
    writes = ("impressions", "quality")  # the others are killed between the making of a table and its rows, too
    kills = {
        name: every_boundary(lambda run=run: run(spark, other, DAYS), "write" if name in writes else "")
        for name, run in STAGES.items()
    }
    # A stage commits once a table, figures are one; killed between any two commits, it is killed once less.
    assert kills == {"impressions": 5, "quality": 6, "features": 5, "groups": 5}
    assert tables(spark, other) == tables(spark, undisturbed)


@pytest.mark.slow
def test_other_jobs_killed_at_a_few_boundaries(spark: SparkSession, undisturbed: Settings, tmp_path: Path) -> None:
    """All of their boundaries, and more jobs: `python -m benchmarks.faults jobs`."""
    calm, killed = (home(tmp_path / name, undisturbed.landing_path) for name in ("calm", "killed"))
    for one in (calm, killed):
        shutil.copytree(undisturbed.home_path / "tables", one.home_path / "tables")
    for name, after in FEW.items():
        job = JOBS[name]
        for one in (calm, killed):
            job.finds(spark, one, DAYS)
        job.run(spark, calm, DAYS)
        assert some_boundaries(lambda job=job: job.run(spark, killed, DAYS), after) == len(after), name
        assert world.different(world.contents(spark, killed), world.contents(spark, calm)) == [], name


@pytest.mark.slow
def test_a_process_that_was_killed_while_it_wrote(
    spark: SparkSession, settings: Settings, landing: LandingFolder, tmp_path: Path
) -> None:
    """SIGKILL to the driver and its JVM as soon as the first table is there; no lock, no half table is left."""
    fill(landing)
    impressions.run(spark, settings, DAYS)
    home = tmp_path / "killed"
    from tests.spark.conftest import link_setup

    link_setup(home)
    own = {"ADLENS_HOME": str(home), "ADLENS_LANDING": str(settings.landing_path)}
    command = [sys.executable, "-m", "spark_jobs", "impressions", "--start", "2026-01-01", "--end", "2026-01-03"]
    child = subprocess.Popen(
        command, cwd=REPOSITORY, env=os.environ | own, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 240
    while not list((home / "tables").rglob("*.parquet")) and child.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL, "it had ended before it could be killed"
    other = settings.model_copy(update={"home": home})
    impressions.run(spark, other, DAYS)
    assert tables(spark, other) == tables(spark, settings)
