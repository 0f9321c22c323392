"""Suites: what is packaged, what a landing folder may change, and what is refused in which words."""

from pathlib import Path

import pytest

from contracts import suite_files
from contracts.errors import SettingsError
from contracts.tables import LANDING


def own(landing: Path, table: str, text: str) -> Path:
    (landing / "suites").mkdir(exist_ok=True)
    (landing / "suites" / f"{table}.yaml").write_text(text)
    return landing


def test_a_folder_replaces_adds_and_leaves_out(tmp_path: Path) -> None:
    packaged = suite_files.load()
    assert set(packaged) == set(LANDING) and all(suite.rows for suite in packaged.values())
    own(
        tmp_path,
        "behaviours",
        "rows:\n"
        "  - {name: kind_is_known, holds: one_of, column: kind, values: [view], level: warn, words: only views}\n"
        "  - {name: behaviour_not_far_before, holds: not_null, column: at, level: ignore, words: -}\n"
        "  - {name: no_tests, holds: sql, columns: [user_id], where: user_id <> 't', level: quarantine, words: t}\n",
    )
    suite = suite_files.load(tmp_path)["behaviours"]
    assert [rule.name for rule in suite.landed()] == ["behaviour_not_after_its_folder", "no_tests"]
    assert [rule.words for rule in suite.staged()] == ["only views"]
    assert suite_files.load(tmp_path)["clicks"] == packaged["clicks"]


ROW = "name: r, column: kind, level: quarantine, words: w"
DAY = "name: d, figure: behaviours_known_ads, level: warn, words: w"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"rows: [{{{ROW}, holds: one_of}}]", "rule r: one_of.values: Field required"),
        (f"rows: [{{{ROW}, holds: one_of, values: [a], colour: red}}]", "rule r: one_of.colour: Extra inputs"),
        (f"rows: [{{{ROW}, holds: is_nice}}]", "rule r: .*'one_of', 'not_null'"),
        (f"rows: [{{{ROW.replace('quarantine', 'halt')}, holds: not_null}}]", "level: .*'stop', 'quarantine', 'warn'"),
        (f"rows: [{{{ROW.replace('kind', 'kid')}, holds: not_null}}]", "no column kid in behaviours; .* ad_id, kind"),
        (f"rows: [{{{ROW}, holds: in_folder_day}}]", "column kind is string; `in_folder_day` wants timestamp"),
        (f"rows: [{{{ROW.replace('column: kind', 'columns: [kind]')}, holds: unique}}]", "can be stop, warn or ignore"),
        ("rows: [{name: r, holds: between, column: at, level: warn, words: w}]", "column at is timestamp"),
        (f"day: [{{{DAY}, at_least: 1, at_most: 2}}]", "rule d: wants one of at_least and at_most"),
        (f"day: [{{{DAY.replace('_ads', '_cats')}, at_least: 1}}]", "there are behaviours_known_ads"),
        (f"day: [{{{DAY}, at_least: {{setting: min_row}}}}]", "there is no setting min_row; there are .*min_rows"),
        (f"day: [{{{DAY}, at_least: {{}}}}]", "rule d: the bound is empty"),
        (f"day: [{{{DAY.replace('warn', 'quarantine')}, at_least: 1}}]", "level: Input should be 'stop', 'warn'"),
        ("row: []", "must hold `rows:` and `day:`"),
        ("rows: [nice]", "a rule is a list of `key: value` lines"),
        ("rows: [", "is not YAML"),
        (f"day: [{{{DAY.replace('name: d', 'name: ctr_not_low')}, at_least: 1}}]", "two rules of the name ctr_not_low"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        suite_files.load(own(tmp_path, "behaviours", text))
    assert "behaviours.yaml" in str(caught.value) or "two rules" in said


def test_a_file_of_no_table_is_refused(tmp_path: Path) -> None:
    own(tmp_path, "impresions", "rows: []")
    with pytest.raises(SettingsError, match="impresions.yaml, which is no table's suite; wanted impressions.yaml"):
        suite_files.load(tmp_path)
