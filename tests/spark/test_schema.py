"""Columns come and go without a stop; a changed type stops; each commit says why it was made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from adlens import changes
from contracts.commits import Cause
from contracts.days import Days
from contracts.delta_dataset import dataset
from contracts.errors import DamagedArtifact
from contracts.settings import Settings
from contracts.tables import DAY, TABLES, Column, Table
from spark_jobs import delta

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OLD = Table(
    "notes",
    "tests",
    ("day", "id"),
    (DAY, Column("id", "string", "key"), Column("rows", "array<struct<a:string,b:int>>", "nested")),
)
WIDE = replace(
    OLD,
    columns=(
        DAY,
        Column("id", "string", "key"),
        Column("price", "double", "declared later, between two others"),
        Column("rows", "array<struct<a:string,c:bigint,b:int>>", "nested, with a field more"),
    ),
)
FIRST, SECOND, THIRD = "2026-01-01", "2026-01-02", "2026-01-03"


def write(spark: SparkSession, settings: Settings, table: Table, *rows: tuple[object, ...]) -> delta.WriteResult:
    frame = spark.createDataFrame(rows, table.ddl.replace(" NOT NULL", ""))
    return delta.write_days(spark, settings, table.name, frame, sorted({str(row[0]) for row in rows}))


def test_columns_come_and_go(spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, "notes", OLD)
    write(spark, settings, OLD, (FIRST, "x", [("p", 1)]), (FIRST, None, None))
    monkeypatch.setitem(TABLES, "notes", WIDE)
    assert [row.rows for row in delta.read(spark, settings, "notes").where("id = 'x'").collect()] == [[("p", None, 1)]]
    same = write(spark, settings, WIDE, (FIRST, "x", None, [("p", None, 1)]), (FIRST, None, None, None))
    assert same.changed_days == [], "a column that is null everywhere is no difference"
    write(spark, settings, WIDE, (SECOND, "y", 2.5, [("q", 7, 2)]))
    wanted = {
        "x": {"price": None, "rows": [{"a": "p", "c": None, "b": 1}]},
        "y": {"price": 2.5, "rows": [{"a": "q", "c": 7, "b": 2}]},
        None: {"price": None, "rows": None},
    }
    by_spark = [row.asDict(recursive=True) for row in delta.read(spark, settings, "notes").collect()]
    by_arrow = dataset(DeltaTable(delta.address(settings, "notes"))).to_table().to_pylist()
    for rows in (by_spark, by_arrow):
        assert {row["id"]: {"price": row["price"], "rows": row["rows"]} for row in rows} == wanted

    monkeypatch.setitem(TABLES, "notes", OLD)  # the feature set is switched off again
    assert delta.read(spark, settings, "notes").columns == ["day", "id", "rows"]
    third = write(spark, settings, OLD, (THIRD, "z", [("r", 3)]))
    again = write(spark, settings, OLD, (THIRD, "z", [("r", 3)]))
    assert again.version == third.version
    rows = dataset(DeltaTable(delta.address(settings, "notes")), [THIRD]).to_table().to_pylist()
    assert [(row["price"], row["rows"]) for row in rows] == [(None, [{"a": "r", "b": 3, "c": None}])]
    kept = dataset(DeltaTable(delta.address(settings, "notes")), [SECOND]).to_table().to_pylist()
    assert kept[0]["price"] == 2.5


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ((DAY, Column("id", "long", "key"), OLD.columns[2]), "column id is string, declared as bigint"),
        ((*OLD.columns[:2], Column("rows", "array<struct<a:string,b:string>>", "")), "rows.element.b is int"),
        ((*OLD.columns, Column("new", "int", "", nullable=False)), "the new column new may not be null"),
        (OLD.columns[1:], "column day is no longer declared"),
    ],
)
def test_what_does_not_fit_stops(
    spark: SparkSession,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    columns: tuple[Column, ...],
    said: str,
) -> None:
    from spark_jobs import schema

    monkeypatch.setitem(TABLES, "notes", OLD)
    empty = spark.createDataFrame([], OLD.ddl)
    delta.write_days(spark, settings, "notes", empty, [FIRST])
    changed = replace(OLD, columns=columns)
    with pytest.raises(DamagedArtifact, match=said) as stopped:
        schema.evolve(spark, changed, delta.address(settings, "notes"))
    both = "holds day string, id string, rows array<struct<a:string,b:int>>; declared is "
    assert both in str(stopped.value), "both schemas are printed"


def test_history_says_why(spark: SparkSession, settings: Settings, capsys: pytest.CaptureFixture[str],
                          monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    def users(*days: str) -> None:
        rows = [(day, f"u{len(days)}", None, None, None, None) for day in days]
        frame = spark.createDataFrame(rows, TABLES["users"].ddl)
        run = Days.parse(days[-1])
        delta.write_days(spark, settings, "users", frame, days, cause=Cause("1-impressions", run, "own", "late"))

    users(FIRST)
    users(FIRST, SECOND)
    found = [(c.version, c.days, c.first, c.run, c.reason) for c in changes.of_table(settings, "users")]
    ran = (SECOND, THIRD)
    assert found == [
        (2, (FIRST,), False, ran, "late"), (2, (SECOND,), True, ran, "own"),
        (1, (FIRST,), True, (FIRST, SECOND), "own"),
    ]  # fmt: skip
    parsed = "from_json(userMetadata, 'stage string, start string, end string, why map<string,string>')"
    history = spark.sql(f"DESCRIBE HISTORY delta.`{delta.address(settings, 'users')}`").selectExpr(
        "version", f"{parsed} AS said"
    )
    assert history.where("version = 2").first()["said"]["why"] == {FIRST: "late", SECOND: "own"}
    monkeypatch.setenv("ADLENS_HOME", str(settings.home_path))
    assert changes.main(["--table", "users", "--day", SECOND]) == 0
    printed = capsys.readouterr().out
    assert "users@2" in printed and "late" not in printed and "own" in printed
