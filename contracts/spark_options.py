"""Spark's options, for the session that a process makes itself and for what spark-submit is given. No Spark here."""

from __future__ import annotations

from pathlib import Path

from contracts import paths
from contracts.settings import Settings

EVERYWHERE = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.databricks.delta.properties.defaults.enableDeletionVectors": "false",
    # Otherwise each column expression makes further calls into the JVM only to note the line it stands on: half of a
    # small job's calls.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}
# A job on one small machine lives for seconds and is made of a hundred tiny ones: plans that stay as they are, few
# partitions and the collector with the least threads cost least (CPU seconds of a day's impressions, plans alone: 60 to
# about 50).
_JAVA = "-Duser.timezone=UTC -XX:+UseSerialGC"
# On a small day, so does the quick compiler alone; a million rows take a third longer with it. By itself it would leave
# 48 MB for compiled code, which a long session fills: then all is interpreted.
_QUICK = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m"
SMALL_DAY = 2 * 2**20  # bytes of the newest landing folder: some 60,000 impressions
_SMALL_MACHINE = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # What a page that is off would show: the plans of a thousand queries are 80 MB.
    "spark.sql.ui.retainedExecutions": "10",
    "spark.ui.retainedJobs": "10",
    "spark.ui.retainedStages": "10",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "4",
    # No two files a task: one that holds rows of one day only sorts next to nothing before it writes them.
    "spark.sql.files.maxPartitionBytes": "16m",
    "spark.sql.files.openCostInBytes": "16m",
    # Where a large run adapts its plans (spark_jobs/slices.py): what a task of these bytes sorts fits in its memory.
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": "12m",
    # A sort or a hash table takes its memory by pages. Of this heap they would be 64 MB, cleared each time: hundreds of
    # MB for a query over a few rows.
    "spark.buffer.pageSize": "2m",
    "spark.databricks.delta.snapshotPartitions": "2",
}


def is_local(settings: Settings) -> bool:
    return settings.spark_master.startswith("local")


def jars(settings: Settings) -> list[Path]:
    """The JARs that set-up fetched."""
    return sorted(paths.jars(settings).glob("*.jar"))


def options(settings: Settings, java: str = "") -> dict[str, str]:
    """All options but the master's and the JARs; on a cluster its own configuration adds to them."""
    if not is_local(settings):
        return dict(EVERYWHERE)
    quick = _QUICK if _newest_day(settings.landing_path) <= SMALL_DAY else ""
    return EVERYWHERE | _SMALL_MACHINE | {
        "spark.driver.memory": settings.spark_memory,
        "spark.driver.extraJavaOptions": " ".join(f"{_JAVA} {quick} {java}".split()),
        "spark.sql.warehouse.dir": str(settings.home_path / "spark-warehouse"),
    }


def _newest_day(landing: Path) -> int:
    """Bytes of the newest landing folder; 0 where there is none."""
    newest = max(landing.glob("day=*"), default=None, key=lambda folder: folder.name)
    return sum(file.stat().st_size for file in newest.iterdir()) if newest else 0
