"""`landing check`: a file that is missing, cut off or has other columns stops the day, in words that name it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.landing.right_day import DAY, rows, said, write


def without_column(file: Path) -> None:
    pq.write_table(pq.read_table(file).drop_columns(["landed_at"]), file)


def price_as_text(file: Path) -> None:
    table = pq.read_table(file)
    at_column = table.column_names.index("price")
    pq.write_table(table.set_column(at_column, "price", table["price"].cast(pa.string())), file)


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def damaged_inside(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:4] + bytes(200) + content[204:])


def emptied(file: Path) -> None:
    for one in file.parent.iterdir():
        one.unlink()


STOPS: list[tuple[str, Callable[[Path], None], str]] = [
    (
        "users.parquet",
        Path.unlink,
        "holds neither of users.parquet and users.jsonl; wanted one of them; found ads.parq",
    ),
    ("clicks.parquet", without_column, "clicks.parquet: column landed_at is missing. Wanted: impression_id string"),
    ("ads.parquet", price_as_text, "ads.parquet: column price is string, wanted double"),
    ("ads.parquet", truncated, "ads.parquet is no complete Parquet file"),
    (
        "impressions.parquet",
        damaged_inside,
        "impressions.parquet is no complete Parquet file, it breaks off after row 0",
    ),
    ("clicks.parquet", emptied, f"day={DAY} is empty; wanted impressions, clicks"),
]


@pytest.mark.parametrize(("name", "spoil", "words"), STOPS)
def test_a_bad_file_stops_the_day(tmp_path: Path, name: str, spoil: Callable[[Path], None], words: str) -> None:
    spoil(write(tmp_path, rows()) / name)
    code, text = said(tmp_path)
    assert code == 2
    assert f"  stops the day: {words}" in text or words in text
    assert text.endswith(f"1 of 1 days would stop: {DAY}")


def test_a_missing_json_column_stops_the_day(tmp_path: Path) -> None:
    file = write(tmp_path, rows(), jsonl=True) / "users.jsonl"
    file.write_text('{"age_band": "25-34"}\n')
    code, text = said(tmp_path)
    assert code == 2 and "users.jsonl: column user_id is missing. Wanted: user_id string, age_band" in text


@pytest.mark.parametrize("jsonl", [False, True])
def test_a_column_that_may_be_null_need_not_be_there(tmp_path: Path, jsonl: bool) -> None:
    file = write(tmp_path, rows(), jsonl) / ("ads.jsonl" if jsonl else "ads.parquet")
    if jsonl:
        file.write_text('{"ad_id": "a1"}\n{"ad_id": "a2", "brand_id": "b"}\n')
    else:
        pq.write_table(pq.read_table(file).select(["ad_id", "brand_id"]), file)
    code, text = said(tmp_path)
    where = " in the first 200 lines" if jsonl else ""
    assert code == 0 and f"  told: {file.name} without column image{where}, read as null" in text
    assert "without column brand_id" not in text and "set aside" not in text
    word = "lines" if jsonl else "rows"
    assert f"  told: {file.name}, {word} 1, 2: ad without a picture; a reserved one stands in" in text


def test_an_empty_clicks_file_is_no_fault(tmp_path: Path) -> None:
    tables = rows()
    tables["clicks"] = []
    write(tmp_path, tables)
    assert said(tmp_path)[0] == 0
