"""Suites: what is packaged, what a landing folder may change, and what is refused in which words."""

from pathlib import Path

import pytest

from contracts import suite_files
from contracts.derived import DERIVED, valued
from contracts.errors import SettingsError
from contracts.features import FEATURES, feature_set
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


def test_a_rule_on_all_features_and_one_on_a_single_feature(tmp_path: Path) -> None:
    """A rule that names a feature's figure takes the place of the one on all of them; `ignore` leaves that one out."""
    built = [one for one in feature_set("daily") if one.name != "region"]
    packaged = suite_files.derived(tables=["user_features"], built=built)["user_features"]
    names = [one.name for one in valued(built, "user")]
    bounded = {rule.figure: rule.name for rule in packaged.day}
    assert bounded == {"user_rows": "enough_users"} | {
        f"{what}_{name}": f"user_values_{rule}_{name}"
        for name in names for what, rule in (("missing", "there"), ("drift", "steady"))
    }  # fmt: skip
    own(
        tmp_path,
        "user_features",
        "day:\n"
        "  - {name: gender_moves, figure: drift_gender, at_most: 3, level: stop, words: gender may move}\n"
        "  - {name: no_matter, figure: missing_age_band, at_most: 1, level: ignore, words: -}\n"
        "  - {name: not_built, figure: drift_region, at_most: 1, level: warn, words: of a feature of another set}\n"
        "  - {name: user_values_there, figure: missing_*, at_most: 0.5, level: warn, words: half of them}\n",
    )
    suite = suite_files.derived(tmp_path, ["user_features"], built)["user_features"]
    of = {rule.figure: (rule.name, rule.bound.value) for rule in suite.day}
    assert of["drift_gender"] == ("gender_moves", 3)
    assert of["missing_gender"] == ("user_values_there_gender", 0.5)
    assert of.keys() == {rule.figure for rule in packaged.day} - {"missing_age_band"}
    assert suite_files.load(tmp_path) == suite_files.load(), "no matter of the landing tables"


def test_each_snapshot_and_grouping_has_a_suite_and_every_feature_a_rule() -> None:
    suites = suite_files.derived()
    assert set(suites) == set(DERIVED) and not any(suite.rows for suite in suites.values())
    figures = {rule.figure for suite in suites.values() for rule in suite.day}
    for side in ("user", "ad"):
        assert {f"{what}_{one.name}" for one in valued(FEATURES, side) for what in ("missing", "drift")} <= figures


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"rows: [{{{ROW}, holds: not_null}}]", "ad_features is made of that; wanted rules under `day:` only"),
        ("day: [{name: d, figure: dirft_*, at_most: 1, level: warn, words: w}]", "no figure dirft_.* ad_rows, missing"),
        ("day: [{name: d, figure: drift_pirce, at_most: 1, level: warn, words: w}]", "no figure drift_pirce of ad_f"),
        ("day: [{name: d, figure: drift_gender, at_most: 1, level: warn, words: w}]", "no figure drift_gender of ad_f"),
        ("day: [{name: d, figure: ad_rows, at_most: 1, level: quarantine, words: w}]", "level: Input should be 'stop'"),
    ],
)
def test_what_is_refused_of_a_derived_table(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        suite_files.derived(own(tmp_path, "ad_features", text))
    assert "ad_features.yaml" in str(caught.value)
