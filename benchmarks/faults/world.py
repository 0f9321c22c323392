"""A small generated landing folder, the data stages over it, and what their tables hold."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import sqlite3
import subprocess
import sys
import zlib
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

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
    """The generator's folders: late clicks, copies and all (docs/adr/0002). Of so few rows none is for quarantine, so
    two impressions of unknown ads a day are added."""
    sizes = ["--impressions", "600", "--ads", "120", "--users", "150", "--image-size", "16"]
    span = ["--start", interval.start.isoformat(), "--end", interval.end.isoformat()]
    out = ["--out", str(root / "landing")]
    command = [sys.executable, "-m", "landing", "generate", "--seed", "1", *span, *sizes, *out]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for file in sorted((root / "landing").glob("day=*/impressions.parquet")):
        rows = pq.read_table(file)
        ids = pa.array([f"unknown-{n}" for n in range(2)])
        unknown = rows.slice(0, 2)
        for name in ("impression_id", "ad_id"):
            unknown = unknown.set_column(rows.column_names.index(name), rows.schema.field(name), ids)
        pq.write_table(pa.concat_tables([rows, unknown]), file)


def run(spark: SparkSession, settings: Settings, interval: Days, stages: tuple[str, ...] = STAGES) -> None:
    for stage in stages:
        importlib.import_module(f"spark_jobs.{stage}").run(spark, settings, interval)


def sequential(spark: SparkSession, settings: Settings, interval: Days) -> None:
    """Undisturbed, a day at a time."""
    for day in interval:
        run(spark, settings, Days.parse(day.isoformat()))


def copy_tables(one: Settings, other: Settings) -> None:
    shutil.copytree(paths.table(one, ""), paths.table(other, ""))


def contents(spark: SparkSession, settings: Settings) -> Contents:
    """Of every Delta table, staged ones too, and of Feast's online store. A table without days counts as one day; which
    versions an erasure found differs with the number of commits before it."""
    from pyspark.sql import functions as F

    from spark_jobs import delta

    root = Path(paths.table(settings, ""))
    found = {}
    for log in sorted(root.rglob("_delta_log")):
        frame = spark.read.format("delta").load(str(log.parent))
        if "day" not in frame.columns:
            frame = frame.drop("versions").withColumn("day", F.lit("all"))
        found[str(log.parent.relative_to(root))] = dict(sorted(delta.fingerprints(frame).items()))
    return found | _online(settings)


def _online(settings: Settings) -> Contents:
    """Values by entity and feature, and the day that is served; not when they were written."""
    file, note = paths.feature_store(settings) / "online.db", paths.feature_store(settings) / "materialised.json"
    if not file.is_file():
        return {}
    held: Contents = {"online: materialised.json": {"all": (zlib.crc32(note.read_bytes()),)}}
    with contextlib.closing(sqlite3.connect(file)) as opened:
        names = [row[0] for row in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in sorted(names):
            order = "SELECT entity_key, feature_name, value, event_ts FROM"
            rows = opened.execute(f'{order} "{name}" ORDER BY entity_key, feature_name').fetchall()
            held[f"online: {name}"] = {"all": (len(rows), zlib.crc32(repr(rows).encode()))}
    return held


def different(one: Contents, other: Contents) -> list[str]:
    """Tables and days that are not equal."""
    said = []
    for table in sorted({*one, *other}):
        a, b = one.get(table, {}), other.get(table, {})
        said += [f"{table} {day}" for day in sorted({*a, *b}) if a.get(day) != b.get(day)]
    return said
