"""What each Spark stage costs, beside a plain Spark read of its input and copy of its output in the same run.

    python -m benchmarks.spark_costs --rows 10000000 --days 32
    python -m benchmarks.spark_costs --rows 10000000 --days 32 --hot-ad 0.2 --hot-user 100000

`--rows`: impressions in the window, in a range of `--days` days, built in one call of each stage. `plain` reads every
input column of these days and writes every output table once more as Parquet. Both in a warm Java machine; `fixed` is
what a stage takes for 1,000 impressions in one that warms up. Heap: the setting spark_memory (2 GiB).
`tasks` are task seconds; `longest` the longest task of any stage of several, beside that stage's median; `--profile N`
prints the N dearest stages.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psutil

from benchmarks import event_log, made_log
from contracts.days import Days
from contracts.settings import Settings, load

LOGS = ("impressions", "clicks", "behaviours", "ads", "users")
STAGED = tuple(f"staged/{name}" for name in (*LOGS, "quarantine"))
PUBLISHED = (*LOGS, "quarantine")
SNAPSHOTS, GROUPS = ("user_features", "ad_features"), ("user_groups", "ad_groups")
FIRST = date(2026, 1, 1)
# stage -> what it reads (landing files, or tables), what it writes
STAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "impressions": (("landing",), STAGED),
    "quality": (STAGED, PUBLISHED),
    "features": (LOGS, SNAPSHOTS),
    "groups": (("impressions", *SNAPSHOTS), GROUPS),
}


def warm_up(spark: Any, settings: Settings) -> dict[str, float]:
    """Stage -> seconds of two days of a thousand impressions in a Java machine that has done nothing before: what each
    stage of a day, a process of its own, pays whatever its rows are."""
    home = settings.home_path / "warm-up"
    small = settings.model_copy(update={"home": home, "landing": home / "landing"})
    days, seconds = Days(FIRST, FIRST + timedelta(days=2)), {}
    made_log.make(home / "landing", days, 500)
    for stage in STAGES:
        began = time.monotonic()
        importlib.import_module(f"spark_jobs.{stage}").run(spark, small, days)
        seconds[stage] = time.monotonic() - began
    shutil.rmtree(home)
    return seconds


def jvm_peak() -> float:
    """Peak resident GiB of this process's JVM so far."""
    java = [one for one in psutil.Process().children(recursive=True) if "java" in one.name()]
    status = [Path(f"/proc/{one.pid}/status").read_text() for one in java]
    return sum(int(text.split("VmHWM:")[1].split()[0]) for text in status) / 2**20


def plain(spark: Any, settings: Settings, days: Days, reads: tuple[str, ...], writes: tuple[str, ...]) -> float:
    """Seconds of reading the inputs and copying the outputs."""
    from pyspark.sql import functions as F

    def of_days(name: str) -> Any:
        frame = spark.read.format("delta").load(f"{settings.home_path}/tables/{name}")
        return frame.where(F.col("day").isin(days.texts()))

    def landed(source: str) -> Any:
        return spark.read.parquet(*(f"{settings.landing_path}/day={day}/{source}.parquet" for day in days.texts()))

    scratch = settings.home_path / "plain"
    began = time.monotonic()
    for name in reads:
        for frame in [landed(source) for source in LOGS] if name == "landing" else [of_days(name)]:
            frame.write.format("noop").mode("overwrite").save()
    for name in writes:
        of_days(name).write.mode("overwrite").parquet(str(scratch / name))
    seconds = time.monotonic() - began
    shutil.rmtree(scratch, ignore_errors=True)
    return seconds


def size(settings: Settings, name: str) -> int:
    from deltalake import DeltaTable

    where = settings.home_path / "tables" / name
    return sum(int(one) for one in DeltaTable(where).get_add_actions(flatten=True)["size_bytes"].to_pylist())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=32)
    parser.add_argument("--hot-ad", type=float, default=0.0, help="share of all impressions that show one ad")
    parser.add_argument("--hot-user", type=int, default=0, help="impressions of one user on each day")
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "adlens-spark-costs")
    parser.add_argument("--stages", nargs="*", default=list(STAGES))
    parser.add_argument("--profile", type=int, default=0, metavar="N", help="print the N dearest Spark stages")
    parser.add_argument("--keep", action="store_true", help="keep the home afterwards")
    asked = parser.parse_args(argv)
    prepared = load()
    settings = prepared.model_copy(update={"home": asked.home, "landing": asked.home / "landing"})
    asked.home.mkdir(parents=True, exist_ok=True)
    for name in ("jars", "java_home"):
        if not (asked.home / name).exists():
            (asked.home / name).symlink_to(prepared.home_path / name)
    days = Days(FIRST, FIRST + timedelta(days=asked.days))
    if not (asked.home / "landing").is_dir():
        skew = {"hot_ad": asked.hot_ad, "hot_user": asked.hot_user}
        made_log.make(asked.home / "landing", days, asked.rows // asked.days, **skew)

    from spark_jobs.session import spark_session

    events = Path(tempfile.mkdtemp())
    os.environ["PYSPARK_SUBMIT_ARGS"] = event_log.submit_arguments(events)
    spark = spark_session(settings, "costs")  # a process of its own a stage in a day; here the JVM stays warm
    log = event_log.EventLog(events)
    fixed = warm_up(spark, settings)
    print(f"{asked.rows:,} impressions in {asked.days} days; seconds", flush=True)
    print(
        f"{'stage':<12}{'fixed':>8}{'job':>8}{'plain':>8}{'ratio':>7}{'tasks':>8}{'longest':>9}{'median':>8}"
        f"{'JVM GiB':>9}{'shuffled':>10}{'written':>9}  bytes an impression",
        flush=True,
    )
    for stage in asked.stages:
        reads, writes = STAGES[stage]
        log.span()
        began = time.monotonic()
        importlib.import_module(f"spark_jobs.{stage}").run(spark, settings, days)
        job = time.monotonic() - began
        span = log.span()
        base = plain(spark, settings, days, reads, writes)
        longest, middle, _ = span.longest()
        shuffled, written = (n / asked.rows for n in (span.shuffled, sum(size(settings, name) for name in writes)))
        print(
            f"{stage:<12}{fixed[stage]:>8.1f}{job:>8.1f}{base:>8.1f}{job / base:>7.2f}{span.seconds:>8.1f}"
            f"{longest:>9.1f}{middle:>8.1f}{jvm_peak():>9.2f}{shuffled:>10.1f}{written:>9.1f}",
            flush=True,
        )
        for line in span.dearest(asked.profile):
            print(f"    {line}", flush=True)
        row = {"stage": stage, "job": round(job, 1), "plain": round(base, 1), "ratio": round(job / base, 2)}
        (asked.home / f"cost-{stage}.json").write_text(json.dumps(row))
    shutil.rmtree(events)
    if not asked.keep:
        shutil.rmtree(asked.home)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
