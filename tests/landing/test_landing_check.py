"""`landing check`: the words for each fault, with file and row, and whether the day would stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.days import Days
from landing import __main__ as command
from landing.digest import TINY
from landing.generate import generate
from tests.landing.right_day import DAY, at, picture, rows, said, write


@pytest.mark.parametrize("jsonl", [False, True])
def test_a_right_day_is_usable(tmp_path: Path, jsonl: bool) -> None:
    write(tmp_path, rows(), jsonl)
    code, text = said(tmp_path)
    assert code == 0
    head = f"day={DAY}: usable; 300 impressions, 1 clicks, 1 behaviours, 2 ads, 2 users"
    assert text == f"{head}\nthe day is usable"


Change = Callable[[dict[str, list[dict[str, object]]]], None]


def change(source: str, number: int, **values: object) -> Change:
    return lambda tables: tables[source][number].update(values)


def add(source: str, **values: object) -> Change:
    return lambda tables: tables[source].append({**tables[source][0], **values})


ASIDE: list[tuple[Change, str]] = [
    (change("impressions", 4, ad_id="a9"), "impressions.parquet, row 5: ad is in neither the day's catalogue nor"),
    (change("impressions", 4, ad_id=""), "impressions.parquet, row 5: ad_id is missing or empty"),
    (
        change("impressions", 4, shown_at=at("2026-01-03T00:00:00")),
        "row 5: shown_at is not in the folder's business day",
    ),
    (add("impressions", shown_at=at(f"{DAY}T11:00:00")), "impressions.parquet, row 301: another row has the same id"),
    (add("impressions", shown_at=at(f"{DAY}T09:00:00")), "impressions.parquet, row 1: another row has the same id"),
    (add("clicks", impression_id="i999"), "clicks.parquet, row 2: click without an impression"),
    (add("clicks", impression_id="i2", clicked_at=at(f"{DAY}T09:59:00")), "row 2: click before its impression"),
    (
        add("clicks", impression_id="i2", clicked_at=at(f"{DAY}T11:00:01"), landed_at=at(f"{DAY}T11:00:02")),
        "row 2: click outside the attribution window",
    ),
    (add("behaviours", kind="stare"), "behaviours.parquet, row 2: kind is none of view, cart, favourite, order"),
    (
        add("clicks", impression_id="i2", clicked_at=at(f"{DAY}T10:02:02")),
        "row 2: click landed before it was clicked",  # by 61 s; 60 are a clock's own
    ),
    (
        add("behaviours", at=at("2026-01-03T00:00:00")),
        "behaviours.parquet, row 2: behaviour lies after its folder's day",
    ),
    (
        add("behaviours", at=at("2025-12-01T23:59:59")),
        "row 2: behaviour lies more than 31 days before its folder's day",
    ),
    (add("ads", title="z"), "ads.parquet, row 3: another row has the same id and came first"),
]
TOLD: list[tuple[Change, str]] = [
    (add("impressions"), "impressions.parquet, row 301: an exact copy, dropped"),
    (change("impressions", 4, user_id="u9"), "impressions.parquet, row 5: user has no profile; the row stays"),
    (add("clicks", clicked_at=at(f"{DAY}T10:02:00")), "clicks.parquet, row 2: a further click on one impression"),
    (add("behaviours", at=at("2025-12-02T00:00:00")), "the day is usable"),
    (add("clicks", impression_id="i2", clicked_at=at(f"{DAY}T10:02:01")), "the day is usable"),
    (change("ads", 1, image="0" * 64), "ads.parquet, row 2: picture is missing"),
    (change("ads", 1, image="ABC"), "ads.parquet, row 2: image is no SHA-256 in lower-case hex"),
    (change("ads", 1, image=None), "ads.parquet, row 2: ad without a picture"),
    (change("ads", 1, category_id=""), "ads.parquet, row 2: ad without category"),
]


@pytest.mark.parametrize(("broken", "words"), ASIDE)
def test_a_bad_row_is_set_aside_with_its_reason_and_number(tmp_path: Path, broken: Change, words: str) -> None:
    tables = rows()
    broken(tables)
    write(tmp_path, tables)
    code, text = said(tmp_path)
    assert code == 0 and "  set aside: " in text and words in text


@pytest.mark.parametrize(("odd", "words"), TOLD)
def test_what_stands_is_only_told(tmp_path: Path, odd: Change, words: str) -> None:
    tables = rows()
    odd(tables)
    write(tmp_path, tables)
    code, text = said(tmp_path)
    assert code == 0 and words in text and "set aside" not in text


def test_attribution_window_is_closed_at_its_end(tmp_path: Path) -> None:
    tables = rows()
    add("clicks", impression_id="i2", clicked_at=at(f"{DAY}T11:00:00"), landed_at=at(f"{DAY}T11:00:02"))(tables)
    write(tmp_path, tables)
    assert "set aside" not in said(tmp_path)[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (picture()[:-100], "picture is corrupt or no image"),
        (b"<html>", "picture is corrupt or no image"),
        (picture() + b"x", "picture's content is not what its name says"),
    ],
)
def test_a_damaged_picture_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    write(tmp_path, rows())
    next((tmp_path / "images").iterdir()).write_bytes(content)
    assert f"ads.parquet, rows 1, 2: {words}" in said(tmp_path)[1]


def test_bad_json_lines_are_set_aside_by_line(tmp_path: Path) -> None:
    file = write(tmp_path, rows(), jsonl=True) / "impressions.jsonl"
    lines = file.read_bytes().splitlines()
    lines[1] = b'{"impression_id": '
    lines[2] = lines[2].replace(b'"u1"', b'"\xff"')
    file.write_bytes(b"\n".join(lines))
    code, text = said(tmp_path)
    assert code == 0
    assert "impressions.jsonl, line 2: malformed JSON line" in text
    assert "impressions.jsonl, line 3: not UTF-8 text" in text


def test_a_time_without_offset_is_no_time(tmp_path: Path) -> None:
    file = write(tmp_path, rows(), jsonl=True) / "impressions.jsonl"
    file.write_text(file.read_text().replace("10:00:00+00:00", "10:00:00", 1))
    assert "impressions.jsonl, line 1: shown_at is no time" in said(tmp_path)[1]


def test_too_many_rows_set_aside_stop_the_day_at_the_folders_bound(tmp_path: Path) -> None:
    tables = rows()
    for number in range(4):
        tables["impressions"][number]["ad_id"] = "a9"
    write(tmp_path, tables)
    code, text = said(tmp_path)  # the click on i1 goes with its impression
    assert code == 2
    assert "5 of 301 impressions and clicks (1.66%) would be set aside; the bound is 1.00%" in text
    (tmp_path / "adlens.yaml").write_text("max_quarantined_share: 0.02\n")
    assert said(tmp_path)[0] == 0


def test_a_folders_own_suite_replaces_a_rule(tmp_path: Path) -> None:
    tables = rows()
    add("behaviours", kind="stare")(tables)
    write(tmp_path, tables)
    (tmp_path / "suites").mkdir()
    own = tmp_path / "suites" / "behaviours.yaml"
    rule = "rows: [{{name: kind_is_known, {}, level: quarantine, words: odd}}]"
    own.write_text(rule.format("holds: one_of, column: kind, values: [view, stare]"))
    assert "set aside" not in said(tmp_path)[1]
    own.write_text(rule.format("holds: sql, columns: [kind], where: kind = 'view'"))
    code, text = said(tmp_path)
    assert code == 0 and "not judged here: rule kind_is_known is SQL" in text and "set aside" not in text


def test_command_line_and_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["check", str(tmp_path / "nowhere")]) == 2
    assert "no landing folder at" in capsys.readouterr().err
    (tmp_path / "images").mkdir()
    assert command.main(["check", str(tmp_path)]) == 2
    assert "holds no day; wanted folders named day=YYYY-MM-DD, found images" in capsys.readouterr().err
    generate(tmp_path / "made", Days.parse("2026-01-01", "2026-01-04"), TINY, seed=1)
    assert command.main(["check", str(tmp_path / "made")]) == 0
    assert command.main(["check", str(tmp_path / "made"), "--day", "2026-01-09"]) == 2
    assert "no folder day=2026-01-09; the folders run from 2026-01-01 to 2026-01-03" in capsys.readouterr().out
    (tmp_path / "made" / "adlens.yaml").write_text("windows: 3\n")
    assert command.main(["check", str(tmp_path / "made")]) == 6
