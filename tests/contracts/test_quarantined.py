"""The quarantine read without Spark, also where it was written before `times` and `rule` were columns of it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake
from rich.console import Console

from adlens.quarantine import show_counts
from contracts import paths, quarantined
from contracts.settings import Settings

DAY = "2026-01-01"
OLD = pa.table({"day": [DAY], "source": ["clicks"], "reason": ["not UTF-8 text"], "row": ["x"]})
NEW = pa.table(
    {
        "day": [DAY] * 3,
        "source": ["ads", "clicks", "clicks"],
        "reason": ["price is odd", "not UTF-8 text", "not UTF-8 text"],
        "row": ["{}", "x", "y"],
        "times": pa.array([None, 1, 6000], pa.int64()),
        "rule": ["price_is_sane", None, None],
    }
)


def table(home: Path, rows: pa.Table) -> Settings:
    settings = Settings(home=home)
    write_deltalake(paths.table(settings, "staged/quarantine"), rows, partition_by=["day"])
    return settings


def test_equal_rows_count_each(tmp_path: Path) -> None:
    settings = table(tmp_path, NEW)
    counted = [(DAY, "ads", "price is odd", 1), (DAY, "clicks", "not UTF-8 text", 6001)]
    assert quarantined.counts(settings, [DAY]) == counted
    assert {(one.row, one.times, one.rule) for one in quarantined.each(settings, DAY)} == {
        ("{}", 1, "price_is_sane"),
        ("x", 1, None),
        ("y", 6000, None),
    }
    with (console := Console(width=200)).capture() as said:
        show_counts(settings, None, None, console)
    lines = [line.split() for line in said.get().splitlines()]
    assert lines[0] == ["day", "source", "rows", "rule", "reason"]
    assert lines[1] == [DAY, "ads", "1", "price_is_sane", "price", "is", "odd"]
    assert lines[2] == [DAY, "clicks", "6,001", "not", "UTF-8", "text"]


def test_a_table_from_before(tmp_path: Path) -> None:
    settings = table(tmp_path, OLD)
    assert quarantined.counts(settings) == [(DAY, "clicks", "not UTF-8 text", 1)]
    assert list(quarantined.each(settings, DAY)) == [quarantined.Quarantined(DAY, "clicks", "not UTF-8 text", "x")]
