"""Only maintenance deletes, only what no run needs, and nobody's open reader is cut off before the retention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from adlens import changes
from contracts.days import Days
from contracts.delta_dataset import dataset
from contracts.delta_log import live_files
from contracts.errors import InputError
from contracts.report import StageReport
from contracts.settings import Settings
from contracts.tables import TABLES
from spark_jobs import __main__ as command
from spark_jobs import delta, maintain

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

GONE, FIRST, LAST = "2026-01-03", "2026-01-04", "2026-01-12"


def test_the_stage_takes_a_day_or_a_bound(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the DAG calls it: a bound after the newest published day is no error, a named day is."""
    asked: list[str] = []

    def run(stage: str, start: str, *others: object) -> StageReport:
        asked.append(start)
        return StageReport(stage=stage, day=start, seconds=0.0)

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setenv("ADLENS_HOME", str(settings.home))
    assert command.main(["maintain"]) == 5, "nothing is published"
    days = pa.table({"day": [FIRST, LAST], "impression_id": ["i", "i"]})
    write_deltalake(delta.address(settings, "impressions"), days, partition_by=["day"])
    for words in ([], ["--at-latest", "2026-01-17"], ["--start", FIRST]):
        assert command.main(["maintain", *words]) == 0
    assert asked == [LAST, LAST, FIRST]
    assert command.main(["maintain", "--start", "2026-01-17"]) == 2 and len(asked) == 3


def test_old_days_go_and_nothing_else(spark: SparkSession, settings: Settings) -> None:
    settings = settings.model_copy(update={"window_days": 1, "lateness_days": 0, "rerun_days": 0})  # keeps 9 days
    ddl = TABLES["users"].ddl.replace(" NOT NULL", "")
    days = [GONE, FIRST, LAST]
    people = spark.createDataFrame([(day, f"u{n}", None, "f", None, None) for day in days for n in range(3)], ddl)
    delta.write_days(spark, settings, "users", people, days)
    shown = spark.createDataFrame([], TABLES["impressions"].ddl.replace(" NOT NULL", ""))
    row = ", ".join(f"CAST(NULL AS {c.type}) {c.name}" for c in TABLES["impressions"].columns[6:7])
    one = spark.sql(
        f"SELECT day, 'i' impression_id, timestamp'2026-01-01 00:00:00' shown_at, 'u0' user_id, 'a' ad_id, 0 position, "
        f"{row}, 0 label, CAST(NULL AS timestamp) clicked_at FROM VALUES ('{GONE}'), ('{LAST}') t(day)"
    ).select(shown.columns)
    delta.write_days(spark, settings, "impressions", one, [GONE, LAST])
    where = delta.address(settings, "users")
    spark.conf.set("spark.databricks.delta.stats.collect", "false")
    spark.createDataFrame([(FIRST, "late", None, None, None, None)], ddl).write.format("delta").mode("append").save(
        where
    )
    spark.conf.unset("spark.databricks.delta.stats.collect")

    def rows() -> set[tuple[str, str]]:
        return {(row["day"], row["user_id"]) for row in dataset(DeltaTable(where)).to_table().to_pylist()}

    def run(dry_run: bool = False, **other: int):
        return maintain.run(spark, settings.model_copy(update=other), Days.parse(LAST), dry_run)

    before, reader = rows(), DeltaTable(where)
    version = reader.version()
    planned = run(dry_run=True)
    assert (planned.counts["rows_deleted"], planned.counts["days_compacted"]) == (4, 1)
    assert planned.counts["bytes_deleted"] > 0 and DeltaTable(where).version() == version, "a dry run does nothing"
    with pytest.raises(InputError, match="2026-01-13 is after the last one, 2026-01-12"):
        maintain.run(spark, settings, Days.parse("2026-01-13"))

    first = run()
    assert rows() == {one for one in before if one[0] != GONE}
    files = live_files(DeltaTable(where))
    assert sorted(str(one.day) for one in files) == [FIRST, LAST], "a file a day"
    assert {one.rows for one in files} == {3, 4}, "with statistics"
    assert delta.built_days(settings, "impressions") == {LAST}
    assert [(c.days, c.reason) for c in changes.of_table(settings, "impressions")] == [
        ((GONE,), f"older than {FIRST}, the first day kept")
    ]
    assert dataset(reader).to_table().num_rows == len(before) and dataset(DeltaTable(where, version=version))
    second = run()
    assert second.versions == first.versions and second.remarks[1:] == ["nothing to do"]

    emptied = run(vacuum_hours=0, log_retention_days=0)
    assert emptied.counts["files_removed"] >= 5
    assert rows() == {one for one in before if one[0] != GONE}
    with pytest.raises(FileNotFoundError):
        dataset(reader).to_table()
    with pytest.raises(Exception, match="No files in log segment"):
        DeltaTable(where, version=version)
    assert delta.read(spark, settings, "users").count() == len(rows()), "Spark reads the shortened log"
