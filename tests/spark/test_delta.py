"""Whole days replaced, nothing committed for nothing, and no column that was not declared."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contracts.errors import DamagedArtifact, MissingArtifact, PrerequisiteError
from contracts.settings import Settings
from spark_jobs import delta
from spark_jobs.__main__ import main
from spark_jobs.session import delta_jars, java_home

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COLUMNS = "day string, user_id string, age_band string, gender string, region string, price_sensitivity string"
User = tuple[str, str, str | None, str | None]


def users(spark: SparkSession, *rows: User) -> DataFrame:
    return spark.createDataFrame([(*row, None, None) for row in rows], COLUMNS)


def test_only_days_that_differ_are_written(spark: SparkSession, settings: Settings) -> None:
    both = ["2026-01-01", "2026-01-02"]

    def write(*rows: User, days: list[str] = both) -> delta.WriteResult:
        return delta.write_days(spark, settings, "users", users(spark, *rows), days)

    first = write(("2026-01-01", "u1", "a", None), ("2026-01-02", "u1", "a", None), ("2026-01-02", "u2", None, None))
    assert (first.rows, first.changed_days, first.day_rows) == (3, both, {"2026-01-01": 1, "2026-01-02": 2})
    same = write(("2026-01-02", "u2", None, None), ("2026-01-02", "u1", "a", None), ("2026-01-01", "u1", "a", None))
    assert (same.version, same.changed_days) == (first.version, []), "the order of rows is no difference"
    shifted = write(("2026-01-01", "u1", None, "a"), days=["2026-01-01"])
    assert shifted.changed_days == ["2026-01-01"], "a value that moves to the next column is one"
    assert shifted.version == first.version + 1
    assert delta.read(spark, settings, "users", ["2026-01-02"]).count() == 2, "other days stay"
    emptied = write(days=["2026-01-01"])
    assert (emptied.rows, emptied.changed_days) == (0, ["2026-01-01"])
    assert delta.built_days(settings, "users") == {"2026-01-02"}
    with pytest.raises(DamagedArtifact, match="rows of 2026-01-02 in a write of 2026-01-01"):
        write(("2026-01-02", "u1", "a", None), days=["2026-01-01"])
    with pytest.raises(DamagedArtifact, match="rows of 2026-01-02 in a write of 2026-01-03"):
        write(("2026-01-02", "u1", "a", None), days=["2026-01-03"])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("day string, user_id string", "declared as day string, .* found day string, user_id string"),
        (COLUMNS.replace("region string", "region int"), "region int"),
        (COLUMNS + ", label int", "different: label int"),
    ],
)
def test_other_columns_are_refused(spark: SparkSession, settings: Settings, columns: str, said: str) -> None:
    with pytest.raises(DamagedArtifact, match=said):
        delta.write_days(spark, settings, "users", spark.createDataFrame([], columns), ["2026-01-01"])


@pytest.mark.parametrize("name", ["user_features", "ad_features"])
def test_labels_never_get_into_features(spark: SparkSession, settings: Settings, name: str) -> None:
    leaking = spark.createDataFrame([], delta.declaration(name, settings).ddl + ", label int")
    with pytest.raises(DamagedArtifact, match=f"table {name} must never hold label"):
        delta.write_days(spark, settings, name, leaking, ["2026-01-01"])


def test_the_table_itself_refuses(spark: SparkSession, settings: Settings) -> None:
    ddl = delta.declaration("impressions").ddl.replace(" NOT NULL", "")

    def write(label: Any, user: str | None) -> None:
        row = [("2026-01-01", "i", None, user, "a", 0, None, label, None)]
        frame = spark.sql("SELECT timestamp'2026-01-01 10:00:00' AS shown_at").crossJoin(
            spark.createDataFrame(row, ddl).drop("shown_at")
        )
        delta.write_days(spark, settings, "impressions", frame, ["2026-01-01"])

    with pytest.raises(Exception, match="label_is_binary"):
        write(2, "u")
    with pytest.raises(Exception, match="NOT NULL constraint violated for column: user_id"):
        write(1, None)
    write(1, "u")
    properties = spark.sql(f"DESCRIBE DETAIL delta.`{delta.address(settings, 'impressions')}`").first()
    assert properties is not None and properties["properties"]["delta.enableDeletionVectors"] == "false"
    assert properties["partitionColumns"] == ["day"]


def test_a_missing_table_says_who_writes_it(spark: SparkSession, settings: Settings) -> None:
    with pytest.raises(MissingArtifact, match="no Delta table at .*/clicks; run spark_jobs.impressions"):
        delta.read(spark, settings, "clicks")


def test_java_and_jars_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(PrerequisiteError, match="run `make setup` once"):
        delta_jars(settings)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrerequisiteError, match="Spark needs Java 17 or 21 .* install"):
        java_home(settings)
    (tmp_path / "java" / "bin").mkdir(parents=True)
    (tmp_path / "java" / "bin" / "java").touch()
    (tmp_path / "java_home").write_text(f"{tmp_path / 'java'}\n")
    assert java_home(settings) == tmp_path / "java"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["impressions", "--start", "yesterday"], 2, "'yesterday' is not a day"),
        (["quality", "--start", "2026-01-02", "--end", "2026-01-02"], 2, "holds no day"),
        (["groups", "--start", "2026-01-02"], 3, "make setup"),
    ],
)
def test_exit_codes(
    arguments: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in os.environ if name.startswith("ADLENS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ADLENS_HOME", str(tmp_path))
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error


def test_a_table_takes_on_columns_and_keeps_those_that_are_no_longer_built(
    spark: SparkSession, settings: Settings
) -> None:
    """The setting feature_sets is widened and narrowed again: lists of structs gain fields, old days hold nulls."""
    wide = settings.model_copy(update={"feature_sets": "daily,production"})

    def write(one: Settings, day: str, gender: int, **more: int) -> delta.WriteResult:
        table = delta.declaration("ad_groups", one)
        seen = {"impression_id": "i", "user_id": "u", "label": 1, "c_gender": gender, **more}
        rows = [{"day": day, "group_id": "g", "ad_id": "a", "impressions": [seen]}]
        frame = spark.createDataFrame(rows, table.ddl)
        return delta.write_days(spark, one, "ad_groups", frame, [day])

    def found() -> list[tuple[int, int | None]]:
        rows = delta.read(spark, wide, "ad_groups").orderBy("day").collect()
        return [(row["impressions"][0]["c_gender"], row["impressions"][0]["c_user_id"]) for row in rows]

    write(settings, "2026-01-01", 1)
    write(settings, "2026-01-02", 2)
    assert write(wide, "2026-01-02", 2, c_user_id=7).changed_days == ["2026-01-02"]
    assert found() == [(1, None), (2, 7)]
    assert write(wide, "2026-01-02", 2, c_user_id=7).changed_days == []
    assert write(settings, "2026-01-02", 2).changed_days == []
    assert write(settings, "2026-01-02", 3).changed_days == ["2026-01-02"]
    assert found() == [(1, None), (3, None)]
