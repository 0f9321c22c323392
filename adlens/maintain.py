"""`adlens maintain [--start D] [--dry-run]`: maintenance of the tables (spark_jobs.maintain), then of the release's own
files (release.publishing.tidy). Without --start it counts back from the newest published day."""

from __future__ import annotations

import argparse
import sys

from contracts import paths
from contracts.days import Days
from contracts.errors import MissingArtifact
from contracts.settings import Settings, load


def newest(settings: Settings) -> str:
    """The newest published day. Raises MissingArtifact where there is none."""
    from deltalake import DeltaTable

    where = paths.table(settings, "impressions")
    days = DeltaTable(where).partitions() if DeltaTable.is_deltatable(where) else []
    if not days:
        raise MissingArtifact(f"no published day in {where}; run `adlens day` first")
    return max(str(one["day"]) for one in days)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="adlens maintain", description=__doc__)
    parser.add_argument("--start", metavar="YYYY-MM-DD", help="day to count back from (default: the newest published)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would go, rows and bytes")
    asked = parser.parse_args(argv)
    from release.publishing.tidy import tidy
    from spark_jobs.__main__ import main as stage
    from spark_jobs.maintain import first_kept

    settings = load()
    day = asked.start or newest(settings)
    code = stage(["maintain", "--start", day, *(["--dry-run"] if asked.dry_run else [])])
    if code:
        return code
    done = tidy(settings, first_kept(settings, Days.parse(day).start).isoformat(), asked.dry_run)
    word = "would be removed" if asked.dry_run else "removed"
    print(f"release: {len(done.paths)} artifacts, bundles and decoded pictures, {done.size:,} bytes {word}")
    sys.stdout.flush()
    return 0
