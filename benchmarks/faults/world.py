"""A small generated landing folder, the data stages over it, and what their tables hold."""

from __future__ import annotations

import importlib
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from contracts import paths
from contracts.days import Days
from contracts.settings import Settings, load

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FIRST = date(2026, 1, 1)
STAGES = ("impressions", "quality", "features", "groups")
Contents = dict[str, dict[str, tuple[int, ...]]]  # table -> day -> fingerprint


def days(many: int) -> Days:
    return Days(FIRST, FIRST + timedelta(days=many))


def home(root: Path, name: str) -> Settings:
    """Settings of a home of its own over the common landing folder."""
    prepared = load()
    where = root / name
    where.mkdir(parents=True, exist_ok=True)
    for one in ("jars", "java_home"):
        if not (where / one).exists():
            (where / one).symlink_to(prepared.home_path / one)
    return prepared.model_copy(update={"home": where, "landing": root / "landing"})


def landed(root: Path, interval: Days) -> None:
    """The generator's folders: late clicks, copies, rows for quarantine and all (docs/adr/0002)."""
    sizes = ["--impressions", "600", "--ads", "120", "--users", "150", "--image-size", "16"]
    span = ["--start", interval.start.isoformat(), "--end", interval.end.isoformat()]
    out = ["--out", str(root / "landing")]
    command = [sys.executable, "-m", "landing", "generate", "--seed", "1", *span, *sizes, *out]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def run(spark: SparkSession, settings: Settings, interval: Days, stages: tuple[str, ...] = STAGES) -> None:
    for stage in stages:
        importlib.import_module(f"spark_jobs.{stage}").run(spark, settings, interval)


def sequential(spark: SparkSession, settings: Settings, interval: Days) -> None:
    """Undisturbed, a day at a time."""
    for day in interval:
        run(spark, settings, Days.parse(day.isoformat()))


def contents(spark: SparkSession, settings: Settings) -> Contents:
    """Of every Delta table, staged ones too."""
    from spark_jobs import delta

    root = Path(paths.table(settings, ""))
    found = {}
    for log in sorted(root.rglob("_delta_log")):
        frame = spark.read.format("delta").load(str(log.parent))
        found[str(log.parent.relative_to(root))] = dict(sorted(delta.fingerprints(frame).items()))
    return found


def different(one: Contents, other: Contents) -> list[str]:
    """Tables and days that are not equal."""
    said = []
    for table in sorted({*one, *other}):
        a, b = one.get(table, {}), other.get(table, {})
        said += [f"{table} {day}" for day in sorted({*a, *b}) if a.get(day) != b.get(day)]
    return said
