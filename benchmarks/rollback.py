"""`python -m benchmarks.rollback [--rounds 5]`: the seconds of `adlens rollback` until the other bundle serves.

A small home with some publications; each round types the command as a process of its own. Prints two figures, median
and most: the command's own seconds (from when its work begins, which it prints itself) and the seconds from its start
as a process to its end. The process that moves MLflow's alias afterwards is waited for between rounds, or it
would take the processor of the next one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.switching import change
from contracts import paths
from contracts.settings import Settings
from serving.bundle import read_pointer

SILENT = "sqlite:////proc/nowhere/mlflow.db"  # nothing can be there: a rollback asks nothing of MLflow
PATIENCE = 120.0  # seconds for the process that would move the alias


def once(settings: Settings) -> tuple[float, float]:
    """(the command's own seconds, the whole process's). Raises RuntimeError where it did not roll back."""
    before = read_pointer(settings)
    log = paths.logs(settings) / "reconcile.log"
    said = log.stat().st_size if log.is_file() else 0
    environment = {**os.environ, "ADLENS_HOME": str(settings.home_path), "ADLENS_MLFLOW_URI": SILENT}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "adlens", "rollback", "--reason", "a benchmark"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    whole = time.perf_counter() - began
    told, after = re.search(r"\((\d+\.\d+) s\)", done.stdout), read_pointer(settings)
    if done.returncode or told is None or before is None or after is None or after.bundle == before.bundle:
        raise RuntimeError(f"no rollback: {done.stdout} {done.stderr}")
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and (not log.is_file() or log.stat().st_size == said):
        time.sleep(0.1)
    return float(told[1]), whole


def measure(rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="adlens-rollback-") as folder:
        settings = Settings(home=Path(folder))
        for number in range(rounds + 1):
            change(settings, number, False, os.devnull)
        own, whole = zip(*(once(settings) for _ in range(rounds)), strict=True)
    return {
        "rounds": rounds, "own_seconds_median": statistics.median(own), "own_seconds_most": max(own),
        "whole_seconds_median": round(statistics.median(whole), 2), "whole_seconds_most": round(max(whole), 2),
    }  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.rollback", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    print(json.dumps(measure(parser.parse_args(argv).rounds), indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
