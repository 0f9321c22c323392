"""A landing folder that cannot be taken as it is stops the day with a message that says what would be right."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.days import Days
from contracts.errors import InputError
from contracts.settings import Settings
from spark_jobs import landing_reader

if TYPE_CHECKING:
    LandingFolder = Any

DAY = "2026-01-01"
SHOWN = dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC)


@pytest.fixture
def folder(landing: LandingFolder) -> Path:
    path: Path = landing.day(DAY, impressions=[("i1", SHOWN, "u", "a", 0, None)])
    return path


def _table(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    path = folder / "impressions.parquet"
    pq.write_table(change(pq.read_table(path, partitioning=None)), path)


def _without_ad(folder: Path) -> None:
    _table(folder, lambda table: table.drop_columns(["ad_id", "position"]))


def _text_position(folder: Path) -> None:
    _table(folder, lambda table: table.set_column(4, "position", pa.array(["first"])))


def _nanoseconds(folder: Path) -> None:
    _table(folder, lambda table: table.set_column(1, "shown_at", table["shown_at"].cast(pa.timestamp("ns", "UTC"))))


def _truncated(folder: Path) -> None:
    path = folder / "impressions.parquet"
    path.write_bytes(path.read_bytes()[:-20])


def _empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def _both(folder: Path) -> None:
    (folder / "ads.jsonl").write_text("{}\n")


def _json_without_column(folder: Path) -> None:
    (folder / "clicks.parquet").unlink()
    (folder / "clicks.jsonl").write_text('{"impression_id": "i1", "clicked_at": "2026-01-01T10:00:00Z"}\n')


def _json_other_type(folder: Path) -> None:
    (folder / "clicks.parquet").unlink()
    row = '{"impression_id": 7, "clicked_at": "2026-01-01T10:00:00Z", "landed_at": "2026-01-01T10:00:00Z"}'
    (folder / "clicks.jsonl").write_text(row + "\n")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_without_ad, "impressions.parquet: column ad_id is missing. Wanted: impression_id string.* Found: .*shown_at"),
        (_text_position, "column position is string, wanted int32"),
        (_nanoseconds, r"column shown_at is timestamp\[ns, tz=UTC\], wanted timestamp\[us, tz=UTC\]"),
        (_truncated, "impressions.parquet is no complete Parquet file"),
        (_empty, "is empty; wanted impressions.parquet or .jsonl"),
        (lambda folder: (folder / "users.parquet").unlink(), "neither of users.parquet and users.jsonl"),
        (_both, "both of ads.parquet and ads.jsonl"),
        (_json_without_column, "clicks.jsonl: column landed_at is missing"),
        (_json_other_type, "column impression_id is int, wanted string"),
    ],
)
def test_a_faulty_folder_stops(
    settings: Settings, folder: Path, damage: Callable[[Path], None], said: str
) -> None:
    landing_reader.check_days(settings.landing_path, Days.parse(DAY))
    damage(folder)
    with pytest.raises(InputError, match=said):
        landing_reader.check_days(settings.landing_path, Days.parse(DAY))


@pytest.mark.parametrize(
    ("day", "said"),
    [
        ("2025-12-31", "before the first day .* first landing folder is 2026-01-01"),
        ("2026-01-02", "no landing folder for 2026-01-02.*the last day is 2026-01-01"),
    ],
)
def test_a_day_without_folder_stops(settings: Settings, folder: Path, day: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        landing_reader.check_days(settings.landing_path, Days.parse(day))


def test_no_landing_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no landing folder at"):
        landing_reader.check_days(tmp_path / "nowhere", Days.parse(DAY))
    with pytest.raises(InputError, match="holds no day; wanted folders named day=YYYY-MM-DD, found nothing"):
        landing_reader.check_days(tmp_path, Days.parse(DAY))


def test_a_column_that_may_be_null_need_not_be_there(
    settings: Settings, landing: LandingFolder, folder: Path
) -> None:
    assert landing_reader.check_days(settings.landing_path, Days.parse(DAY)) == []
    _table(folder, lambda table: table.drop_columns(["query", "position"]))
    late = '{"user_id": "v", "age_band": "25-34", "gender": null, "region": "north"}'
    landing.lines(DAY, "users", *['{"user_id": "u", "gender": null}'] * 200, late)  # further down than is looked at
    assert landing_reader.check_days(settings.landing_path, Days.parse(DAY)) == [
        f"impressions.parquet without column position, read as null: {DAY}",
        f"impressions.parquet without column query, read as null: {DAY}",
        f"users.jsonl without column age_band in the first 200 lines, read as null: {DAY}",
        f"users.jsonl without column region in the first 200 lines, read as null: {DAY}",
        f"users.jsonl without column price_sensitivity in the first 200 lines, read as null: {DAY}",
    ]
    landing.lines(DAY, "users", '{"age_band": "25-34"}')
    with pytest.raises(InputError, match="users.jsonl: column user_id is missing"):
        landing_reader.check_days(settings.landing_path, Days.parse(DAY))


def test_many_days_without_a_column_are_one_remark(settings: Settings, landing: LandingFolder) -> None:
    days = [f"2026-01-0{n}" for n in range(1, 6)]
    for day in days:
        _table(landing.day(day), lambda table: table.drop_columns(["query"]))
    said = landing_reader.check_days(settings.landing_path, Days.parse(days[0], "2026-01-06"))
    assert said == ["impressions.parquet without column query, read as null: 5 days, 2026-01-01 to 2026-01-05"]


def test_an_empty_clicks_file_is_fine(settings: Settings, landing: LandingFolder, folder: Path) -> None:
    landing.lines(DAY, "clicks")
    landing_reader.check_days(settings.landing_path, Days.parse(DAY))
