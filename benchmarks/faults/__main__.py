"""Disturbs the data stages in every way there is and compares all tables with an undisturbed sequential run.

    python -m benchmarks.faults boundaries    killed between any two commits of every stage, day by day
    python -m benchmarks.faults jobs          the same of rebuild, release from quarantine, materialise, erase, maintain
    python -m benchmarks.faults kills         SIGKILL to Spark at 30 random moments of a run over all days
    python -m benchmarks.faults airflow       SIGKILL to Airflow and its tasks, or to a task's Spark alone, 30 times
    python -m benchmarks.faults corrupt       50 corrupt landing folders, each mended and run again
    python -m benchmarks.faults orders        10 days in random orders

Several kinds share the undisturbed run. Each prints what it did and ends with exit code 1 where a table differs.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.faults import world
from benchmarks.faults.boundaries import every_boundary
from benchmarks.faults.corrupt import corrupt
from benchmarks.faults.jobs import JOBS
from benchmarks.faults.kills import until_done
from contracts.days import Days
from contracts.errors import AdLensError, MissingArtifact
from contracts.settings import Settings, load

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def boundaries(spark: SparkSession, root: Path, interval: Days, rng: random.Random) -> list[str]:
    settings, killed = world.home(root, "boundaries"), Counter[str]()
    for day in interval:
        for stage in world.STAGES:
            one = Days.parse(day.isoformat())
            killed[stage] += every_boundary(lambda stage=stage, one=one: world.run(spark, settings, one, (stage,)))
    print(f"killed {sum(killed.values())} times between two commits: {dict(killed)}")
    return compare(spark, root, settings)


def jobs(spark: SparkSession, root: Path, interval: Days, rng: random.Random, which: Sequence[str] = ()) -> list[str]:
    """One after the other over the tables of all the days, built in one call; compared after each."""
    calm, killed = (world.home(root, f"jobs-{name}") for name in ("undisturbed", "killed"))
    world.run(spark, calm, interval)
    world.copy_tables(calm, killed)
    wrong = []
    for name, job in JOBS.items():
        if which and name not in which:
            continue
        for one in (calm, killed):
            job.finds(spark, one, interval)
        job.run(spark, calm, interval)
        died = every_boundary(lambda job=job: job.run(spark, killed, interval))
        found = world.different(world.contents(spark, calm), world.contents(spark, killed))
        print(f"{name}: killed {died} times; {', '.join(found) or 'equal'}", flush=True)
        wrong += [f"{name}: {one}" for one in found]
    return wrong


def kills(spark: SparkSession, root: Path, interval: Days, rng: random.Random) -> list[str]:
    settings = world.home(root, "kills")
    span = [interval.start.isoformat(), interval.end.isoformat()]
    command = [sys.executable, "-m", "benchmarks.faults", "--only-run", *span]
    killed, seconds = until_done(command, _environment(settings), root / "kills.log", 30, 45.0, rng)
    print(f"killed {killed} times; the last run took {seconds:.0f} s")
    return compare(spark, root, settings)


def airflow(spark: SparkSession, root: Path, interval: Days, rng: random.Random) -> list[str]:
    """A backfill of all the days, by Airflow's own command, which is given again where a task failed."""
    settings, days = world.home(root, "airflow"), interval.texts()
    asked = {"first_day": days[0], "last_day": days[-1], "last_stage": "groups"}
    command = [sys.executable, "-m", "adlens", "airflow", "dags", "test", "adlens_backfill", days[0]]
    command += ["--conf", json.dumps(asked)]
    log = Path(tempfile.gettempdir()) / "adlens-faults-airflow.log"
    killed, seconds = until_done(command, _environment(settings), log, 30, 90.0, rng, spark_alone=0.5)
    print(f"killed {killed} times; the last run took {seconds:.0f} s")
    calm = world.home(root, "materialised")
    world.copy_tables(world.home(root, "undisturbed"), calm)
    JOBS["materialise"].run(spark, calm, interval)  # the backfill loads the online store too
    return compare(spark, root, settings, "materialised")


def _environment(settings: Settings) -> dict[str, str]:
    return {"ADLENS_HOME": str(settings.home_path), "ADLENS_LANDING": str(settings.landing_path)}


def corrupted(spark: SparkSession, root: Path, interval: Days, rng: random.Random) -> list[str]:
    """Each folder of a run of days is corrupted again and again before it is right."""
    settings, said = world.home(root, "corrupt"), Counter[str]()
    days = list(interval)
    for n, day in enumerate(days):
        folder, sound = settings.landing_path / f"day={day}", root / "sound"
        shutil.rmtree(sound, ignore_errors=True)
        shutil.copytree(folder, sound)
        for _ in range(50 // len(days) + (n < 50 % len(days))):
            what = corrupt(folder, rng)
            try:
                world.run(spark, settings, Days.parse(day.isoformat()))
                came = "set aside or harmless"
            except AdLensError as error:
                came = type(error).__name__
            except Exception as error:  # a page that only Spark's reader finds damaged
                came = f"Spark's {type(error).__name__}"
            said[came] += 1
            print(f"  {day} {what}: {came}", flush=True)
            shutil.rmtree(folder)
            shutil.copytree(sound, folder)
        world.run(spark, settings, Days.parse(day.isoformat()))
    print(f"{sum(said.values())} corrupt folders: {dict(said)}")
    return compare(spark, root, settings)


def orders(spark: SparkSession, root: Path, interval: Days, rng: random.Random) -> list[str]:
    """A stage that lacks another day's output stops with MissingArtifact, and is run again at the end."""
    wrong = []
    for n in range(3):
        settings, left = world.home(root, f"order-{n}"), []
        days = rng.sample(list(interval), len(interval))
        for day in days:
            one = Days.parse(day.isoformat())
            world.run(spark, settings, one, world.STAGES[:3])
            try:
                world.run(spark, settings, one, world.STAGES[3:])
            except MissingArtifact:
                left.append(one)
        for one in sorted(left, key=lambda days: days.start):
            world.run(spark, settings, one, world.STAGES[3:])
        print(f"order {' '.join(f'{day:%d}' for day in days)}: {len(left)} groups were run again")
        wrong += compare(spark, root, settings)
    return wrong


def compare(spark: SparkSession, root: Path, settings: Settings, calm: str = "undisturbed") -> list[str]:
    return world.different(world.contents(spark, world.home(root, calm)), world.contents(spark, settings))


WORK = {
    "boundaries": boundaries, "jobs": jobs, "kills": kills, "airflow": airflow, "corrupt": corrupted, "orders": orders,
}  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="kind", help=f"of {', '.join(WORK)}")
    parser.add_argument("--only-run", nargs=2, metavar="DAY", help="[DAY, DAY) of the home ADLENS_HOME")
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--job", action="append", choices=list(JOBS), help="of the kind jobs only this one, repeatable")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(argv)
    if not asked.only_run and (not asked.kinds or set(asked.kinds) - set(WORK)):
        parser.error(f"wanted some of {', '.join(WORK)}; got {' '.join(asked.kinds) or 'none'}")

    from spark_jobs.session import spark_session

    spark = spark_session(load(), "faults")
    if asked.only_run:
        world.run(spark, load(), Days.parse(*asked.only_run))
        return 0
    interval, rng = world.days(asked.days), random.Random(asked.seed)
    work = WORK | {"jobs": partial(jobs, which=asked.job or ())}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        world.landed(root, interval)
        if asked.kinds != ["jobs"]:
            world.sequential(spark, world.home(root, "undisturbed"), interval)
        wrong = {kind: _said(kind, work[kind](spark, root, interval, rng)) for kind in asked.kinds}
    return 1 if any(wrong.values()) else 0


def _said(kind: str, wrong: list[str]) -> list[str]:
    told = f"different: {', '.join(wrong)}" if wrong else "every table equals the undisturbed run's"
    print(f"{kind}: {told}", flush=True)
    return wrong


if __name__ == "__main__":
    raise SystemExit(main())
