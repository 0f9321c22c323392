"""Does a day cost more because history has grown? And what does one call over a range save?

    python -m benchmarks.later_days --rows 100000

Builds 60 days of `--rows` impressions: the first 31 in one call, day 32 alone (which warms the JVM), day 33 alone, days
34 to 58 in one call, day 59 and day 60 alone. Prints the seconds of each stage for day 33 and day 60, the ratio, and
seconds a day of the ranged calls beside those of the days that ran alone.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import made_log
from benchmarks.spark_costs import FIRST, STAGES
from contracts.days import Days
from contracts.settings import Settings, load

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run(spark: SparkSession, settings: Settings, first: int, last: int) -> dict[str, float]:
    """Stage -> seconds of one call over the days `first` to `last`, counted from 1."""
    days = Days(FIRST + timedelta(days=first - 1), FIRST + timedelta(days=last))
    seconds = {}
    for stage in STAGES:
        began = time.monotonic()
        importlib.import_module(f"spark_jobs.{stage}").run(spark, settings, days)
        seconds[stage] = time.monotonic() - began
    return seconds


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="impressions a day")
    asked = parser.parse_args(argv)
    prepared = load()
    home = Path(tempfile.mkdtemp())
    for name in ("jars", "java_home"):
        (home / name).symlink_to(prepared.home_path / name)
    settings = prepared.model_copy(update={"home": home, "landing": home / "landing"})
    made_log.make(settings.landing_path, Days(FIRST, FIRST + timedelta(days=60)), asked.rows)

    from spark_jobs.session import spark_session

    spark = spark_session(settings, "later-days")
    spans = [(1, 31), (32, 32), (33, 33), (34, 58), (59, 59), (60, 60)]
    took = {span: run(spark, settings, *span) for span in spans}
    print(f"{asked.rows:,} impressions a day; seconds")
    print(f"{'stage':<12}{'day 33':>8}{'day 60':>8}{'ratio':>7}{'a day of 25 in one call':>26}")
    rows = [(stage, took[33, 33][stage], took[60, 60][stage], took[34, 58][stage] / 25) for stage in STAGES]
    rows.append(("together", *(sum(row[at] for row in rows) for at in (1, 2, 3))))
    for stage, early, late, ranged in rows:
        print(f"{stage:<12}{early:>8.1f}{late:>8.1f}{late / early:>7.2f}{ranged:>26.1f}")
    shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
