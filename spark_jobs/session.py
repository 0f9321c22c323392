"""The Spark session that every job uses: Delta's JARs, UTC, loopback, quiet."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from contracts import paths, spark_options
from contracts.errors import PrerequisiteError
from contracts.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_LOG4J = """rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
appender.file.type = File
appender.file.name = file
appender.file.fileName = {log}
appender.file.append = true
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{yy/MM/dd HH:mm:ss}} %p %c{{1}}: %m%n%ex
"""


def java_home(settings: Settings) -> Path | None:
    """Where Java is: JAVA_HOME, what set-up wrote to `<home>/java_home`, or None when `java` is on the PATH.

    Raises PrerequisiteError when there is no Java at all.
    """
    named = os.environ.get("JAVA_HOME")
    if named and (Path(named) / "bin" / "java").is_file():
        return Path(named)
    note = settings.home_path / "java_home"
    if note.is_file():
        written = Path(note.read_text(encoding="utf-8").strip())
        if (written / "bin" / "java").is_file():
            return written
    if shutil.which("java"):
        return None
    raise PrerequisiteError(
        "Spark needs Java 17 or 21 and found none in JAVA_HOME, on the PATH or in "
        f"{note}; install a Java 17 (for example the package openjdk-17-jre-headless) or run `make setup`"
    )


def delta_jars(settings: Settings) -> list[Path]:
    """Delta's JARs, which set-up fetched. Raises PrerequisiteError when they are not there."""
    found = spark_options.jars(settings)
    if not any("delta-spark" in jar.name for jar in found):
        raise PrerequisiteError(f"Delta's JARs are not in {paths.jars(settings)}; run `make setup` once")
    return found


def _log_to_file(settings: Settings) -> str:
    """Java's option that sends Spark's log to a file under the home folder."""
    logs = paths.logs(settings)
    logs.mkdir(parents=True, exist_ok=True)
    log4j = logs / "log4j2.properties"
    wanted = _LOG4J.format(log=logs / "spark.log")
    if not log4j.is_file() or log4j.read_text(encoding="utf-8") != wanted:
        log4j.write_text(wanted, encoding="utf-8")
    return f"-Dlog4j2.configurationFile={log4j.as_uri()}"


def spark_session(settings: Settings, app: str) -> SparkSession:
    """The session of this process, made on the first call.

    Started by spark-submit, the master and the JARs are those it was given; otherwise `settings.spark_master`.
    Raises PrerequisiteError when Java or Delta's JARs are missing.
    """
    from pyspark.sql import SparkSession

    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    # Python's own conversion of timestamps (collect, toPandas) uses the process's zone; tables are UTC throughout.
    os.environ["TZ"] = "UTC"
    time.tzset()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(f"adlens-{app}")
    options = dict(spark_options.EVERYWHERE)
    if not submitted:
        found = java_home(settings)
        if found is not None:
            os.environ["JAVA_HOME"] = str(found)
        builder = builder.master(settings.spark_master)
        if spark_options.is_local(settings):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            jars = ",".join(str(jar) for jar in delta_jars(settings))
            options = spark_options.options(settings, _log_to_file(settings)) | {"spark.jars": jars}
    for name, value in options.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    if submitted and _submitted_locally():
        spark.sparkContext.setLogLevel("ERROR")
    return spark


def _submitted_locally() -> bool:
    """Whether spark-submit was told a local master (its JVM's properties say so)."""
    from pyspark import SparkConf, SparkContext

    SparkContext._ensure_initialized()  # type: ignore[attr-defined]
    return (SparkConf().get("spark.master") or "").startswith("local")
