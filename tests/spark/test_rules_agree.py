"""`landing check` and stage 1 set aside the same rows for the same reasons, every landing rule among them."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import TYPE_CHECKING, Any

from contracts import quarantined
from contracts.days import Days
from contracts.settings import Settings
from landing.check import Checker, days_in, lines
from spark_jobs import delta, impressions

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    LandingFolder = Any


def at(day: int, clock: str) -> dt.datetime:
    hour, minute, *second = map(int, clock.split(":"))
    return dt.datetime(2026, 1, day, hour, minute, *second, tzinfo=dt.UTC)


RULES = """
rows:
  - {name: no_tests, holds: one_of, column: gender, values: [f, m], level: quarantine, words: gender is odd}
"""
PRICES = """
rows:
  - name: price_is_sane
    holds: between
    column: price
    at_least: 0
    at_most: 100
    level: quarantine
    words: price is not sane
"""


def test_they_agree(spark: SparkSession, settings: Settings, landing: LandingFolder) -> None:
    """Business days of Kolkata, UTC+5:30: 2 January begins on the 1st at 18:30 UTC."""
    (landing.root / "suites").mkdir(parents=True)
    (landing.root / "suites" / "users.yaml").write_text(RULES)
    (landing.root / "suites" / "ads.yaml").write_text(PRICES)
    (landing.root / "adlens.yaml").write_text("time_zone: Asia/Kolkata\n")
    local = settings.model_copy(update={"time_zone": "Asia/Kolkata"})
    ads = [(f"a{n}", "c", "b", "s", price, "t", 1, None) for n, price in enumerate((None, 100.0, 100.5, -1.0))]
    ads.append(("nan", "c", "b", "s", float("nan"), "t", 1, None))
    users = [("u", "25-34", "f", "n", "low"), ("v", None, None, None, None), ("w", None, "q", None, None)]
    shown = [
        ("i1", at(1, "18:30"), "u", "a0", 0, None),
        ("i1", at(1, "18:30"), "u", "a0", 0, None),
        ("i1", at(2, "18:30"), "u", "a0", 0, None),  # the next day: no rival of i1
        ("i2", at(1, "18:29"), "u", "a0", 0, None),  # skewed: the day before
        ("i3", at(2, "18:29"), "u", "a1", 0, None),
        ("i3", at(2, "18:00"), "u", "a1", 0, None),  # equal id, earlier
        ("i4", at(2, "10:00"), "u", "a2", 0, None),  # its ad was set aside
        ("i5", None, "u", "a0", 0, None),
        *[("i7", None, "u", "a0", 0, None)] * 5,  # one row in the table, five for the bound
        ("i3", at(2, "18:29"), "u", "a1", 0, None),  # a copy, but of no row that stays
        ("i6", at(2, "10:00"), "u", "a0", 0, None),
    ]
    clicks = [
        ("i1", at(1, "19:30"), at(1, "19:31")),
        ("i1", at(1, "19:30:01"), at(1, "19:31")),  # past the window's edge
        ("i1", at(1, "18:50"), at(1, "18:51")),  # several clicks
        ("i1", at(1, "18:50"), at(1, "18:52")),  # the same again
        ("i3", at(2, "17:59"), at(2, "18:00")),  # before its impression
        ("i6", at(2, "10:30"), at(2, "10:29")),  # clocks differ by 60 s
        ("i6", at(2, "10:31"), at(2, "10:29:59")),  # by 61 s: skewed
        ("none", at(2, "10:30"), at(2, "10:31")),
        (None, at(2, "10:30"), at(2, "10:31")),
    ]
    acted = [
        ("u", "a0", "view", at(2, "18:29")),
        ("u", "a0", "view", at(2, "18:30")),  # after its folder's day
        ("u", "a0", "view", dt.datetime(2025, 12, 1, 18, 30, tzinfo=dt.UTC)),  # 2 December there: 31 days
        ("u", "a0", "view", dt.datetime(2025, 12, 1, 18, 29, tzinfo=dt.UTC)),
        ("u", "a0", "stare", at(2, "10:00")),
    ]
    day = "2026-01-02"
    landing.day(day, impressions=shown, clicks=clicks, behaviours=acted, ads=ads, users=users)

    impressions.run(spark, local, Days.parse(day))
    spark_says = Counter({(source, reason): n for _, source, reason, n in quarantined.counts(local, [day])})

    from contracts import suite_files

    checker = Checker(landing.root, local, suite_files.load(landing.root), days_in(landing.root))
    report = checker.check(Days.parse(day).start)
    told = Counter()
    for file, findings in report.files.items():
        told.update({(file.split(".")[0], reason): len(rows) for reason, rows in findings.aside.items()})
    assert (
        told
        == spark_says
        == Counter(
            {
                ("ads", "price is not sane"): 3,
                ("users", "gender is odd"): 1,
                ("impressions", "shown_at is not in the folder's business day"): 2,
                ("impressions", "another row has the same id and came first"): 2,
                ("impressions", "ad is in neither the day's catalogue nor the day before's"): 1,
                ("impressions", "shown_at is missing or empty"): 6,
                ("clicks", "click outside the attribution window"): 1,
                ("clicks", "click before its impression"): 1,
                ("clicks", "click landed before it was clicked"): 1,
                ("clicks", "click without an impression"): 1,
                ("clicks", "impression_id is missing or empty"): 1,
                ("behaviours", "behaviour lies after its folder's day"): 1,
                ("behaviours", "behaviour lies more than 31 days before its folder's day"): 1,
                ("behaviours", "kind is none of view, cart, favourite, order"): 1,
            }
        )
    )
    times = Counter({one.source: one.times for one in quarantined.each(local, day) if one.times > 1})
    assert times == {"impressions": 5}
    named = {(one.source, one.rule) for one in quarantined.each(local, day) if one.rule}
    assert named == {
        ("ads", "price_is_sane"),
        ("users", "no_tests"),
        ("impressions", "shown_in_folder_day"),
        ("behaviours", "kind_is_known"),
        ("behaviours", "behaviour_not_after_its_folder"),
        ("behaviours", "behaviour_not_far_before"),
        ("clicks", "click_landed_after_it_happened"),
    }
    labelled = delta.read(spark, local, "impressions", [day], staged=True).where("label = 1").collect()
    assert sorted(row["impression_id"] for row in labelled) == ["i1", "i6"] and report.clicked == 2


def test_a_new_column_that_may_be_null_lands_without_a_stop(
    spark: SparkSession, settings: Settings, landing: LandingFolder
) -> None:
    """Files from before it was declared, a day's or a neighbour's, and JSON that leaves nulls out: null for both."""
    import pyarrow.parquet as pq

    from contracts import suite_files

    settings = settings.model_copy(update={"max_quarantined_share": 1.0})
    first, day = "2026-01-01", "2026-01-02"
    shown = [("i1", at(1, "10:00"), "u", "a", 0, "boots"), ("i2", None, "u", "a", 0, None)]
    landing.day(first, impressions=shown)
    landing.day(day)
    for older in (first, day):
        file = landing.root / f"day={older}" / "ads.parquet"
        pq.write_table(pq.read_table(file, partitioning=None).drop_columns(["reviews", "image"]), file)
    file = landing.root / f"day={first}" / "impressions.parquet"
    pq.write_table(pq.read_table(file, partitioning=None).drop_columns(["position"]), file)
    landing.lines(
        day, "impressions",
        '{"impression_id": "i3", "shown_at": "2026-01-02T10:00:00Z", "user_id": "u", "ad_id": "a"}',
        '{"impression_id": "i4", "shown_at": "2026-01-02T10:00:00Z", "user_id": "u", "ad_id": "a", "query": "hat"}',
        '{"impression_id": "i5", "user_id": "u", "ad_id": "a"}',
    )  # fmt: skip

    told = []
    for one in (first, day):
        said = impressions.run(spark, settings, Days.parse(one))
        told += [remark for remark in said.remarks if "read as null" in remark]
    spark_says = Counter()
    for _, source, reason, n in quarantined.counts(settings, [first, day]):
        spark_says[source, reason] += n
    rows = delta.read(spark, settings, "impressions", [first, day], staged=True).collect()
    assert {(row["impression_id"], row["position"], row["query"]) for row in rows} == {
        ("i1", None, "boots"), ("i3", None, None), ("i4", None, "hat"),
    }  # fmt: skip
    ads = delta.read(spark, settings, "ads", [first, day], staged=True).collect()
    assert [(row["price"], row["reviews"], row["image"]) for row in ads] == [(1.0, None, None)] * 2

    checker = Checker(landing.root, settings, suite_files.load(landing.root), days_in(landing.root))
    reports = [checker.check(Days.parse(one).start) for one in (first, day)]
    assert [report.stops for report in reports] == [[], []]
    aside = Counter()
    for report in reports:
        for file, findings in report.files.items():
            aside.update({(file.split(".")[0], reason): len(rows) for reason, rows in findings.aside.items()})
    assert aside == spark_says == Counter({("impressions", "shown_at is missing or empty"): 2})
    checked = [line.removeprefix("  told: ") for report in reports for line in lines(report) if "read as null" in line]
    assert [remark.rsplit(": ", 1)[0] for remark in told] == checked and len(checked) == 6
