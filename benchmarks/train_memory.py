"""Peak resident memory of a training as its log grows: each size in a process of its own. Bar: x10, the same.

    python -m benchmarks.train_memory [--days 3 30] [--groups 2000]

Trains `daily_dcn` for one pass on made groups of 16 impressions; the pictures' side holds a bounded number of batches.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import made_groups
from contracts.settings import Settings

SHARE = 16
TRAIN = """
import resource, sys
from datetime import timedelta
from benchmarks.made_groups import FIRST
from contracts.settings import load
from training.recipes import recipe
from training.train import train_day
train_day(FIRST + timedelta(days=int(sys.argv[1])), load(), recipe("daily_dcn"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(home: Path, days: int, groups: int) -> tuple[int, float]:
    """(impressions, MiB)."""
    settings = Settings.model_validate({"home": home, "landing": home / "landing"})
    images = made_groups.pictures(settings, 50, 32, np.random.default_rng(1))
    impressions = made_groups.make(settings, "daily", days, groups, SHARE, images, distinct=3_000)
    environment = {
        "ADLENS_HOME": str(home), "ADLENS_LANDING": str(home / "landing"), "ADLENS_MIN_TRAINING_DAYS": "1",
        "ADLENS_WINDOW_DAYS": str(days), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[1]),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(days)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return impressions, int(done.stdout.split()[-1]) / 1024


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, nargs="+", default=[3, 30])
    parser.add_argument("--groups", type=int, default=2_000, help="a day")
    asked = parser.parse_args(argv)
    first = 0.0
    for days in asked.days:
        with tempfile.TemporaryDirectory() as home:
            impressions, mebibytes = peak(Path(home), days, asked.groups)
        first = first or mebibytes
        print(f"{impressions:>12,} impressions: {mebibytes:8.0f} MiB, {mebibytes / first:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
