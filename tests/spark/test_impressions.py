"""Stage 1 on days written by hand: what stays, what is set aside and why, and which label."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from contracts.days import Days
from contracts.settings import Settings
from spark_jobs import cleaning, delta, impressions, labels, pictures

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    LandingFolder = Any

ONE, TWO = "2026-01-01", "2026-01-02"


def at(text: str) -> dt.datetime:
    """`1 10:05` -> 2026-01-01 10:05 UTC."""
    day, clock = text.split()
    return dt.datetime.fromisoformat(f"2026-01-{int(day):02}T{clock}:00+00:00")


def ad(name: str, image: str | None = None, category: str | None = "c") -> tuple[object, ...]:
    return (name, category, "b", "s", 1.0, "red shoes", 3, image)


def staged(spark: SparkSession, settings: Settings, name: str, *columns: str) -> list[tuple[Any, ...]]:
    frame = delta.read(spark, settings, name, staged=True).select(*columns)
    return sorted((tuple(row) for row in frame.collect()), key=repr)


def test_impressions_that_stay_and_that_go(spark: SparkSession, settings: Settings, landing: LandingFolder) -> None:
    good = landing.picture()
    digests = {name: name[0] * 64 for name in ("broken", "absent", "fake")}
    landing.raw_picture(digests["broken"], (settings.landing_path / "images" / f"{good}.jpg").read_bytes()[:-30])
    landing.raw_picture(digests["fake"], b"<html>not found</html>")
    digests["fake"] = "f" * 64
    shown = [
        ("i1", at("1 10:00"), "u", "a", 0, "shoes"),
        ("i1", at("1 10:00"), "u", "a", 0, "shoes"),  # exact copy: dropped
        ("i2", at("1 11:00"), "u", "b", 1, None),
        ("i2", at("1 10:30"), "u", "a", 0, None),  # same id, earlier: this one stays
        ("i3", at("1 10:00"), "stranger", "a", 0, None),  # unknown user stays
        ("i4", at("1 10:00"), "u", "zzz", 0, None),
        ("i5", at("2 00:00"), "u", "a", 0, None),
        ("", at("1 10:00"), "u", "a", 0, None),
        ("i7", None, "u", "a", 0, None),
    ]
    catalogue = [
        ad("a", good),
        ad("b", None, category=None),
        ad("broken", digests["broken"]),
        ad("absent", digests["absent"]),
        ad("fake", digests["fake"]),
        ad("misnamed", "../../etc/passwd"),
    ]
    clicks = [
        ("i1", at("1 10:30"), at("1 10:31")),
        ("i1", at("1 10:20"), at("1 10:21")),  # the earliest counts
        ("i1", at("1 10:20"), at("1 10:25")),  # the same click logged again
        ("i2", at("1 10:29"), at("1 10:30")),
        ("i3", at("1 11:01"), at("1 11:01")),
        ("nobody", at("1 11:01"), at("1 11:01")),
    ]
    behaviours = [
        ("u", "a", "view", at("1 09:00")),
        ("u", "a", "view", at("1 09:00")),
        ("u", "a", "kiss", at("1 09:00")),
    ]
    landing.day(ONE, impressions=shown, ads=catalogue, clicks=clicks, behaviours=behaviours)

    said = impressions.run(spark, settings, Days.parse(ONE))

    assert staged(spark, settings, "impressions", "impression_id", "ad_id", "user_id", "label", "clicked_at") == [
        ("i1", "a", "u", 1, dt.datetime(2026, 1, 1, 10, 20)),
        ("i2", "a", "u", 0, None),
        ("i3", "a", "stranger", 0, None),
    ]
    assert staged(spark, settings, "ads", "ad_id", "category_id", "image") == [
        ("a", "c", good),
        ("absent", "c", None),
        ("b", None, None),
        ("broken", "c", None),
        ("fake", "c", None),
        ("misnamed", "c", None),
    ]
    assert staged(spark, settings, "behaviours", "kind") == [("view",)]
    refused = [
        (source, reason, json.loads(row).get("impression_id") or json.loads(row).get("ad_id"))
        for source, reason, row in staged(spark, settings, "quarantine", "source", "reason", "row")
    ]
    assert sorted(refused, key=repr) == sorted(
        [
            ("behaviours", "kind is none of view, cart, favourite, order", "a"),
            ("clicks", labels.BEFORE, "i2"),
            ("clicks", labels.OUTSIDE, "i3"),
            ("clicks", labels.ORPHAN, "nobody"),
            ("images", pictures.UNREADABLE, "broken"),
            ("images", pictures.MISSING, "absent"),
            ("images", pictures.UNREADABLE, "fake"),
            ("images", pictures.MALFORMED, "misnamed"),
            ("impressions", cleaning.SAME_ID, "i2"),
            ("impressions", cleaning.UNKNOWN_AD, "i4"),
            ("impressions", "shown_at is not in the folder's business day", "i5"),
            ("impressions", "impression_id is missing or empty", "a"),
            ("impressions", "shown_at is missing or empty", "i7"),
        ],
        key=repr,
    )
    assert (said.rows_in, said.rows_out, said.set_aside) == (9, 3, 13)
    assert said.counts["copies_impressions"] == 1
    assert said.counts["copies_clicks"] == 1
    assert said.counts["further_clicks"] == 1


def test_json_lines(spark: SparkSession, settings: Settings, landing: LandingFolder) -> None:
    row = {"impression_id": "i1", "shown_at": "2026-01-02T01:00:00+01:00", "user_id": "u", "ad_id": "a"}
    whole = {**row, "position": 2, "query": "rød sko"}
    landing.day(ONE, ads=[ad("a")])
    landing.day(TWO, ads=[ad("b")])  # `a` left the catalogue, but the day before had it
    landing.lines(
        TWO,
        "impressions",
        json.dumps(whole, ensure_ascii=False),
        json.dumps({**row, "impression_id": "i2", "shown_at": "2026-01-02T10:00:00.123456Z"}),
        json.dumps({**row, "impression_id": "i3", "shown_at": "2026-01-02 10:00:00"}),  # no offset: not taken for UTC
        '{"impression_id": "i4", "shown_at": ',
        json.dumps({**row, "impression_id": "i5", "position": "third"}),
        b'{"impression_id": "i6", "query": "\xff\xfe"}',
        "",
    )
    landing.lines(TWO, "clicks")

    said = impressions.run(spark, settings, Days.parse(TWO))

    assert staged(spark, settings, "impressions", "impression_id", "shown_at", "position", "query") == [
        ("i1", dt.datetime(2026, 1, 2, 0, 0), 2, "rød sko"),
        ("i2", dt.datetime(2026, 1, 2, 10, 0, 0, 123456), None, None),
    ]
    assert staged(spark, settings, "quarantine", "source", "reason") == [
        ("impressions", "malformed JSON line"),
        ("impressions", "malformed JSON line"),
        ("impressions", "not UTF-8 text"),
        ("impressions", "shown_at is no time"),
    ]
    assert (said.rows_in, said.rows_out) == (6, 2)
