"""Maintenance of the Delta tables: the only stage that deletes days, and the one that makes old files go.

For every table with a partition a day, and its staged twin: days that no run needs any more are deleted, small files of
a day are put together, missing file statistics are made, files that no kept version needs are removed, and so are old
entries of the log. What is as it should be costs a look into the log and no Spark query; a second run commits nothing.

Days are counted back from an argument. The ages of files are judged by Delta's own clock: nothing but the file
system knows when a file was written.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from deltalake import DeltaTable
from pyspark.sql import SparkSession

from contracts import delta_log, keeping, paths
from contracts.commits import Cause
from contracts.days import Days
from contracts.report import StageReport
from contracts.settings import Settings
from contracts.tables import STAGED, TABLES, VISUAL_TABLE, group_tables
from spark_jobs import schema

STAGE = "9-maintain"
MESSAGE = "spark.databricks.delta.commitInfo.userMetadata"
MEGABYTE = 1024 * 1024


@dataclass
class Plan:
    """What is to be done with one table."""

    name: str
    address: str
    days: list[str]  # to delete
    rows: int
    size: int  # bytes of them
    compact: list[str]  # days with small files that fit together
    bare: int  # files without statistics
    properties: dict[str, str]  # to set
    unneeded: list[tuple[str, int]] = field(default_factory=list)  # files to remove: path, bytes

    @property
    def idle(self) -> bool:
        return not (self.days or self.compact or self.bare or self.properties or self.unneeded)


def run(spark: SparkSession, settings: Settings, days: Days, dry_run: bool = False) -> StageReport:
    """Maintain all tables as of the interval's last day; with `dry_run` only say what would be done.

    Raises InputError when that day is after the newest published one, MissingArtifact when none is published.
    """
    began = time.monotonic()
    last = keeping.counted_from(settings, (days.end - timedelta(days=1)).isoformat())
    cut = keeping.first_kept(settings, last)
    plans = [_plan(settings, name, cut) for name in tables(settings)]
    if not dry_run:
        with _vacuum_options(spark):
            for plan in plans:
                _do(spark, settings, plan, Cause(STAGE, Days(last, days.end), f"older than {cut}, the first day kept"))
    versions = {plan.name: DeltaTable(plan.address).version() for plan in plans}
    busy = [plan for plan in plans if not plan.idle]
    remarks = [f"days before {cut} are not kept", *(_sentence(plan, dry_run) for plan in busy)]
    return StageReport(
        stage=STAGE,
        day=last.isoformat(),
        seconds=time.monotonic() - began,
        rows_in=sum(plan.rows for plan in plans),
        versions=versions,
        counts={
            "tables": len(plans),
            "rows_deleted": sum(plan.rows for plan in plans),
            "bytes_deleted": sum(plan.size for plan in plans),
            "days_compacted": sum(len(plan.compact) for plan in plans),
            "files_removed": sum(len(plan.unneeded) for plan in plans),
            "bytes_removed": sum(size for plan in plans for _, size in plan.unneeded),
        },
        remarks=remarks if busy else [*remarks, "nothing to do"],
    )


def tables(settings: Settings) -> list[str]:
    """The tables that are there, staged twins included."""
    declared = {**TABLES, **group_tables()}
    names = [*declared, *(f"{STAGED}/{name}" for name in declared), VISUAL_TABLE]
    return [name for name in names if DeltaTable.is_deltatable(paths.table(settings, name))]


def _plan(settings: Settings, name: str, cut: date) -> Plan:
    address = paths.table(settings, name)
    table = DeltaTable(address)
    declared = {**TABLES, **group_tables()}.get(name.removeprefix(f"{STAGED}/"))
    files = delta_log.live_files(table)
    by_window = declared is None or (declared.kept == "window" and declared.partition == ("day",))
    old = [one for one in files if one.day is not None and one.day < cut.isoformat()] if by_window else []
    gone = {str(one.day) for one in old}
    there = table.metadata().configuration
    wanted = schema.wanted_properties(settings)
    return Plan(
        name,
        address,
        sorted(gone),
        sum(one.rows or 0 for one in old),
        sum(one.size for one in old),
        _fragmented([one for one in files if one.day not in gone], settings.optimize_file_mb * MEGABYTE),
        sum(one.rows is None for one in files if one.day not in gone),
        {key: value for key, value in wanted.items() if there.get(key) != value},
        delta_log.garbage(table, settings.vacuum_hours),
    )


def _fragmented(files: list[delta_log.LiveFile], target: int) -> list[str]:
    """Days (empty text: the whole of a table without them) of which two files fit into one of the target size."""
    by_day: dict[str, list[int]] = {}
    for one in files:
        by_day.setdefault(one.day or "", []).append(one.size)
    return sorted(day for day, sizes in by_day.items() if len(sizes) > 1 and sum(sorted(sizes)[:2]) <= target)


def _do(spark: SparkSession, settings: Settings, plan: Plan, cause: Cause) -> None:
    """Each step is whole by itself, so that a run that was killed goes on where it was."""
    table = f"delta.`{plan.address}`"
    if plan.properties:
        listed = ", ".join(f"'{key}' = '{value}'" for key, value in plan.properties.items())
        spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ({listed})")
    if plan.days:
        with message(spark, cause.message(plan.days, plan.days)):
            spark.sql(f"DELETE FROM {table} WHERE day IN ({', '.join(repr(day) for day in plan.days)})")
    if plan.compact:
        size = str(settings.optimize_file_mb * MEGABYTE)
        spark.conf.set("spark.databricks.delta.optimize.maxFileSize", size)
        spark.conf.set("spark.databricks.delta.optimize.minFileSize", size)
        where = "" if plan.compact == [""] else f" WHERE day IN ({', '.join(repr(day) for day in plan.compact)})"
        spark.sql(f"OPTIMIZE {table}{where}")
    if plan.bare:
        _compute_statistics(spark, plan.address)
    now = DeltaTable(plan.address)
    plan.unneeded = delta_log.garbage(now, settings.vacuum_hours)
    if plan.unneeded:
        spark.sql(f"VACUUM {table}")  # the table's own delta.deletedFileRetentionDuration
    delta_log.clean_log(now)


@contextlib.contextmanager
def message(spark: SparkSession, text: str) -> Iterator[None]:
    """The commits of the block carry this message."""
    spark.conf.set(MESSAGE, text)
    try:
        yield
    finally:
        spark.conf.unset(MESSAGE)


@contextlib.contextmanager
def _vacuum_options(spark: SparkSession) -> Iterator[None]:
    """VACUUM lists folders in 10,000 tasks by default, and would note itself in the log."""
    options = {
        "spark.databricks.delta.vacuum.logging.enabled": "false",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": str(spark.sparkContext.defaultParallelism * 4),
    }
    before = {name: spark.conf.get(name, None) for name in options}
    for name, value in options.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, old in before.items():
            spark.conf.unset(name) if old is None else spark.conf.set(name, old)


def _compute_statistics(spark: SparkSession, address: str) -> None:
    """Delta's own recomputation (a commit COMPUTE STATS). SQL has no word for it on a table without a catalogue:
    ANALYZE TABLE is refused. Spark's and deltalake's writes make the statistics; this is for files of other writers."""
    jvm = spark._jvm
    assert jvm is not None
    collection = getattr(jvm.org.apache.spark.sql.delta.stats, "StatisticsCollection$").__getattr__("MODULE$")
    log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, address)
    every, any_file = (getattr(collection, f"recompute$default${n}")() for n in (4, 5))
    collection.recompute(spark._jsparkSession, log, jvm.scala.Option.empty(), every, any_file)


def _sentence(plan: Plan, dry_run: bool) -> str:
    said = []
    if plan.days:
        span = f"{plan.days[0]} to {plan.days[-1]}"
        said.append(f"{len(plan.days)} days ({span}), {plan.rows:,} rows, {plan.size:,} bytes deleted")
    if plan.compact:
        said.append(f"small files of {len(plan.compact)} days put together")
    if plan.bare:
        said.append(f"statistics of {plan.bare} files made")
    if plan.unneeded:
        said.append(f"{len(plan.unneeded)} files, {sum(size for _, size in plan.unneeded):,} bytes removed")
    if plan.properties:
        said.append(f"set {', '.join(f'{key} = {value}' for key, value in plan.properties.items())}")
    return f"{plan.name}: {'would be done: ' if dry_run else ''}{'; '.join(said)}"
