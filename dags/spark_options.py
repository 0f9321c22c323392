"""What spark-submit is given on one machine. On a cluster the Spark connection and the image decide instead."""

from __future__ import annotations

from contracts import paths
from contracts.settings import Settings


def local(settings: Settings) -> bool:
    return settings.spark_master.startswith("local")


def conf(settings: Settings) -> dict[str, str]:
    """Delta, UTC and loopback; the driver's memory and JARs must be known before its JVM starts."""
    delta = {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
    }
    if not local(settings):
        return delta
    return delta | {
        "spark.driver.memory": settings.spark_memory,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        # The quick compiler only: a job lives for seconds, and two cores have no time for the thorough one.
        "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:TieredStopAtLevel=1",
        "spark.log.level": "WARN",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "4",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.warehouse.dir": str(settings.home_path / "spark-warehouse"),
    }


def jars(settings: Settings) -> str | None:
    """The JARs that set-up fetched, as one list; None on a cluster, whose image holds them."""
    found = sorted(paths.jars(settings).glob("*.jar"))
    return ",".join(map(str, found)) if found and local(settings) else None
