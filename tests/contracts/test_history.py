"""The history before a day: reach by table, gaps, and what is there already."""

from datetime import date, timedelta

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from contracts.history import Pass, passes, ranges, wanted_days
from contracts.settings import Settings


def d(text: str) -> date:
    return date.fromisoformat(text)


@pytest.mark.parametrize(
    "days, wanted",
    [
        ([], []),
        (["2026-01-01"], [("2026-01-01", "2026-01-02")]),
        (["2026-01-02", "2026-01-01", "2026-01-05"], [("2026-01-01", "2026-01-03"), ("2026-01-05", "2026-01-06")]),
    ],
)
def test_ranges(days, wanted):
    assert ranges([d(day) for day in days]) == [(d(a), d(b)) for a, b in wanted]


def test_the_first_run_builds_everything_in_one_pass_of_each_job(tmp_path):
    plan = passes(Settings(home=tmp_path), d("2026-01-01"), d("2026-02-02"), None)
    assert plan == [
        Pass("impressions", d("2026-01-01"), d("2026-02-02")),
        Pass("quality", d("2026-01-01"), d("2026-02-02")),
        Pass("features", d("2026-01-01"), d("2026-02-02")),
        Pass("groups", d("2026-01-02"), d("2026-02-02")),  # nothing was known before the first folder
    ]
    assert plan[0].command == ["spark_jobs", "impressions", "--start", "2026-01-01", "--end", "2026-02-02"]


@pytest.mark.parametrize(
    "table, first", [("impressions", "2026-01-23"), ("ad_features", "2026-01-29"), ("ad_groups", "2026-01-30")]
)
def test_reach(table, first):
    """Run 03-03 with 32 days: groups from 01-30; they see S(01-29), which counts folders 01-23 to 01-29."""
    days = wanted_days(Settings(), table, d("2026-01-01"), d("2026-03-03"), None)
    assert days[0] == d(first) and days[-1] == d("2026-03-02")
    assert days == [days[0] + timedelta(days=n) for n in range(len(days))]


def test_days_that_never_landed_and_days_that_are_built_are_left_out(tmp_path):
    settings = Settings(home=tmp_path, window_days=8)
    landed = [d("2026-01-01") + timedelta(days=n) for n in range(10) if n != 4]  # no folder for 01-05
    built = pa.table({"day": ["2026-01-01", "2026-01-02"], "x": [1, 2]})
    write_deltalake(tmp_path / "tables" / "impressions", built, partition_by=["day"])
    plan = passes(settings, d("2026-01-01"), d("2026-01-10"), landed)
    assert [step for step in plan if step.stage == "impressions"] == [
        Pass("impressions", d("2026-01-03"), d("2026-01-05")),
        Pass("impressions", d("2026-01-06"), d("2026-01-10")),
    ]
