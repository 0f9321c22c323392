"""`python -m spark_jobs <stage> --start D [--end E]`; also the application that spark-submit runs."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

if not __package__:  # run by path (spark-submit): the folder above is the root of the packages, this one is not
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(entry for entry in sys.path if Path(entry or ".").resolve() != here)]

from contracts import report, settings
from contracts.days import Days
from contracts.errors import AdLensError

# stage -> module with run(spark, settings, days) -> StageReport, what it does
STAGES = {
    "impressions": ("spark_jobs.impressions", "landing files -> staged tables, labels, quarantine"),
    "quality": ("spark_jobs.quality", "audit the staged day and publish it"),
    "features": ("spark_jobs.features", "the day's snapshots: user_features, ad_features"),
    "materialise": ("spark_jobs.feast_store", "register the features and load the online store"),
    "groups": ("spark_jobs.groups", "impressions joined with the snapshot before them: user_groups, ad_groups"),
}


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="spark_jobs", description=__doc__)
    stages = top.add_subparsers(dest="stage", required=True)
    for name, (_, what) in STAGES.items():
        stage = stages.add_parser(name, help=what, description=what)
        stage.add_argument("--start", required=True, metavar="YYYY-MM-DD", help="first day")
        stage.add_argument("--end", metavar="YYYY-MM-DD", help="day after the last (default: the day after start)")
    return top


def run(stage: str, start: str, end: str | None) -> report.StageReport:
    """Run one stage over [start, end) and write its report. Raises AdLensError."""
    from spark_jobs.session import spark_session

    began = time.monotonic()
    days = Days.parse(start, end)
    ours = settings.load()
    spark = spark_session(ours, stage)
    try:
        module = importlib.import_module(STAGES[stage][0])
        said = module.run(spark, ours, days)
    finally:
        spark.stop()
    said = said.model_copy(update={"seconds": round(time.monotonic() - began, 2)})
    report.write(ours, said)
    return said


def main(argv: list[str] | None = None) -> int:
    asked = parser().parse_args(argv)
    try:
        said = run(asked.stage, asked.start, asked.end)
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
