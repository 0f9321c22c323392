"""`python -m spark_jobs <stage> --start D [--end E]`; also the application that spark-submit runs."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # run by path (spark-submit): the folder above is the root of the packages, this one is not
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(entry for entry in sys.path if Path(entry or ".").resolve() != here)]

from contracts import history, keeping, report, settings
from contracts.days import Days, parse_day
from contracts.errors import AdLensError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# stage -> module with run(spark, settings, days) -> StageReport, what it does
STAGES = {
    "impressions": ("spark_jobs.impressions", "landing files -> staged tables, labels, quarantine"),
    "quality": ("spark_jobs.quality", "audit the staged day and publish it"),
    "features": ("spark_jobs.features", "the day's snapshots: user_features, ad_features"),
    "materialise": ("spark_jobs.materialise", "register the features and load the online store"),
    "groups": ("spark_jobs.groups", "impressions joined with the snapshot before them: user_groups, ad_groups"),
    "maintain": ("spark_jobs.maintain", "delete days that no run needs any more, compact, remove unneeded files"),
    "rebuild": ("spark_jobs.rebuild", "groups again where late clicks have changed a label"),
}


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="spark_jobs", description=__doc__)
    stages = top.add_subparsers(dest="stage", required=True)
    for name, (_, what) in STAGES.items():
        stage = stages.add_parser(name, help=what, description=what)
        if name == "maintain":
            keeping.add_day(stage)
        else:
            stage.add_argument("--start", required=True, metavar="YYYY-MM-DD", help="first day")
        stage.add_argument("--end", metavar="YYYY-MM-DD", help="day after the last (default: the day after start)")
        if name in history.CATCHES_UP:
            stage.add_argument("--catch-up", action="store_true", help="first build the days before it that it needs")
        if name == "rebuild":
            stage.add_argument("--most", type=int, default=4, metavar="DAYS", help="write at most so many (default 4)")
        if name == "maintain":
            stage.add_argument("--dry-run", action="store_true", help="only say what would go, rows and bytes")
    return top


def run(
    stage: str, start: str, end: str | None, catch_up: bool = False, options: Mapping[str, int] | None = None
) -> report.StageReport:
    """Run one stage over [start, end) and write its report (a dry run none). `options`: what its module takes beside
    the days.

    Raises AdLensError.
    """
    from spark_jobs.session import spark_session

    began = time.monotonic()
    days = Days.parse(start, end)
    ours = settings.load()
    spark = spark_session(ours, stage)
    try:
        before = caught_up(spark, ours, stage, days) if catch_up else []
        module = importlib.import_module(STAGES[stage][0])
        said = module.run(spark, ours, days, **(options or {}))
    finally:
        spark.stop()
    seconds = round(time.monotonic() - began, 2)
    said = said.model_copy(update={"seconds": seconds, "remarks": [*before, *said.remarks]})
    if not (options or {}).get("dry_run"):
        report.write(ours, said)
    return said


def caught_up(spark: SparkSession, ours: settings.Settings, stage: str, days: Days) -> list[str]:
    """Builds what the stage needs of landed days before the interval and nobody has built. Returns remarks."""
    from spark_jobs import landing_reader

    landed = [parse_day(day) for day in landing_reader.landed_days(ours.landing_path)]
    remarks = []
    for step in history.left_to(stage, ours, days.start, landed):
        print(f"catching up: {step.stage} of [{step.start}, {step.end})", flush=True)
        importlib.import_module(STAGES[step.stage][0]).run(spark, ours, Days(step.start, step.end))
        remarks.append(f"{step.stage} of [{step.start}, {step.end}) was missing and was built first")
    return remarks


def main(argv: list[str] | None = None) -> int:
    asked = parser().parse_args(argv)
    try:
        if asked.stage == "maintain":
            asked.start = keeping.counted_from(settings.load(), asked.start, asked.at_latest).isoformat()
        options = {name: getattr(asked, name) for name in ("most", "dry_run") if hasattr(asked, name)}
        said = run(asked.stage, asked.start, asked.end, getattr(asked, "catch_up", False), options)
    except AdLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(
        f"{said.stage} {asked.start}{f' to {asked.end}' if asked.end else ''}: {said.rows_in:,} rows in, "
        f"{said.rows_out:,} out, {said.set_aside:,} set aside, {said.seconds:.1f} s"
    )
    for remark in said.remarks:
        print(f"  {remark}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
