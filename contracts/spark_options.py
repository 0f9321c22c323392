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
# partitions, the quick compiler alone and the collector with the least threads cost least (CPU seconds of a day's
# impressions, plans alone: 60 to about 50). The quick compiler alone also shrinks the room for compiled code to 48 MB,
# which a long session fills: then all is interpreted.
_JAVA = "-Duser.timezone=UTC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC"
_SMALL_MACHINE = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "4",
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
    return EVERYWHERE | _SMALL_MACHINE | {
        "spark.driver.memory": settings.spark_memory,
        "spark.driver.extraJavaOptions": f"{_JAVA} {java}".rstrip(),
        "spark.sql.warehouse.dir": str(settings.home_path / "spark-warehouse"),
    }
