"""`adlens maintain [--start D | --at-latest D] [--dry-run]`: the tables (spark_jobs.maintain), then the release's own
files (release.publishing.tidy). Without a day it counts back from the newest published one."""

from __future__ import annotations

import argparse

from contracts import keeping
from contracts.settings import load


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="adlens maintain", description=__doc__)
    keeping.add_day(parser)
    parser.add_argument("--dry-run", action="store_true", help="only say what would go, rows and bytes")
    asked = parser.parse_args(argv)
    day = keeping.counted_from(load(), asked.start, asked.at_latest)
    words = ["--start", day.isoformat(), *(["--dry-run"] if asked.dry_run else [])]  # one day for both
    from release.publishing import tidy
    from spark_jobs.__main__ import main as stage

    return stage(["maintain", *words]) or tidy.main(words)
