"""Stage 3 against an oracle in plain Python, and rule 2: a snapshot is a pure function of what had landed."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from contracts.days import Days, day_start
from contracts.errors import MissingArtifact
from contracts.hashing import words
from contracts.settings import Settings
from tests.spark.snapshots.test_derived_figures import expect_snapshot_figures

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC)


def near(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-12)


Rows = dict[str, list[dict[str, Any]]]
PRODUCTION = {"feature_sets": "daily,production"}


def oracle_ctr(rows: Rows, key: str, entities: set[str], day: date, folders: int = 7) -> float | None:
    """Impression by impression, click by click."""
    shown = clicked = 0
    for one in rows["impressions"]:
        age = (day - date.fromisoformat(one["day"])).days
        if one[key] not in entities or not 0 <= age < folders:
            continue
        shown += 1
        clicked += any(
            click["impression_id"] == one["impression_id"]
            and timedelta(0) <= click["clicked_at"] - one["shown_at"] <= timedelta(minutes=60)
            and 0 <= (date.fromisoformat(click["day"]) - date.fromisoformat(one["day"])).days <= 3
            and click["day"] <= day.isoformat()
            for click in rows["clicks"]
        )
    return (clicked + 1.0) / (shown + 10) if shown else None


def oracle_acts(rows: Rows, day: date) -> list[dict[str, Any]]:
    """Of the last seven folders; one that is dated after its folder's day counts never."""
    recent = [one for one in rows["behaviours"] if 0 <= (day - date.fromisoformat(one["day"])).days <= 6]
    return [one for one in recent if one["at"].date().isoformat() <= one["day"]]


def oracle_recent(rows: Rows, user: str, day: date, column: str) -> list[str] | None:
    catalogue = {(ad["day"], ad["ad_id"]): ad[column] for ad in rows["ads"]}
    acted = sorted((one for one in oracle_acts(rows, day) if one["user_id"] == user), key=lambda one: one["ad_id"])
    acted.sort(key=lambda one: one["at"], reverse=True)
    found = [one["ad_id"] if column == "ad_id" else catalogue.get((one["day"], one["ad_id"])) for one in acted[:10]]
    return [value for value in found if value is not None] or None


def oracle_listed(rows: list[dict[str, Any]], key: str, entity: str, day: date) -> int:
    days = {one["day"] for one in rows if one[key] == entity}
    return sum((day - timedelta(days=n)).isoformat() in days for n in range(7))


def band(value: float | None) -> str | None:
    return None if value is None else str(math.floor(2 * math.log2(1 + value)))


def ascii_lower(text: str) -> str:
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


def pairs_of(title: str) -> list[str]:
    found = ascii_lower(title).split()
    return list(dict.fromkeys(f"{one} {after}" for one, after in zip(found, found[1:], strict=False)))[:8]


def oracle_ad(rows: Rows, ad: dict[str, Any]) -> dict[str, Any]:
    """Every value of an ad that is not the landed one itself."""
    day, title = date.fromisoformat(ad["day"]), ad["title"]
    alike = {
        key: [one for one in rows["ads"] if one["day"] == ad["day"] and one[key] == ad[key] is not None]
        for key in ("category_id", "brand_id", "shop_id")
    }
    wanted: dict[str, Any] = {
        "title_words": words(title, 8),
        "title_bigrams": None if title is None else pairs_of(title),
        "title_length": None if title is None else len(title.split()),
        "title_last_word": ascii_lower(title).split()[-1] if title else None,
        "price_band": band(ad["price"]),
        "reviews_band": band(ad["reviews"]),
        "ad_listed_7d": oracle_listed(rows["ads"], "ad_id", ad["ad_id"], day),
        "has_picture": "yes",
        "ad_orders_7d": sum(
            one["ad_id"] == ad["ad_id"] and one["kind"] == "order" for one in oracle_acts(rows, day)
        ),
        "ad_ctr_7d": near(oracle_ctr(rows, "ad_id", {ad["ad_id"]}, day)),
        "ad_ctr_1d": near(oracle_ctr(rows, "ad_id", {ad["ad_id"]}, day, folders=1)),
    }
    for key, those in alike.items():
        name = key.removesuffix("_id")
        wanted[f"{name}_ads"] = len(those) or None
        wanted[f"{name}_ctr_7d"] = near(oracle_ctr(rows, "ad_id", {one["ad_id"] for one in those}, day))
    prices = [one["price"] for one in alike["category_id"] if one["price"] is not None]
    priced = ad["price"] is not None and sum(prices) > 0
    wanted["price_to_category"] = near(ad["price"] / (sum(prices) / len(prices))) if priced else None
    return wanted


def oracle_user(rows: Rows, user: str, day: date) -> dict[str, Any]:
    acted = [one["kind"] for one in oracle_acts(rows, day) if one["user_id"] == user]
    return {
        "user_listed_7d": oracle_listed(rows["users"], "user_id", user, day),
        "user_ctr_7d": near(oracle_ctr(rows, "user_id", {user}, day)),
        "user_views_7d": acted.count("view"),
        "user_orders_7d": acted.count("order"),
        "recent_ads": oracle_recent(rows, user, day, "ad_id"),
        "recent_categories": oracle_recent(rows, user, day, "category_id"),
        "recent_brands": oracle_recent(rows, user, day, "brand_id"),
        "recent_shops": oracle_recent(rows, user, day, "shop_id"),
    }


def test_every_value_against_the_oracle(
    spark: SparkSession, settings: Settings, world: Any, snapshot: Callable[[Settings, str], list[dict[str, Any]]]
) -> None:
    """All of both sets: what of a row is neither the oracle's nor landed is a column that nobody checks."""
    from spark_jobs import features

    settings = settings.model_copy(update={"publication_delay_minutes": 90, **PRODUCTION})
    world.write(spark, settings)
    report = features.run(spark, settings, world.days)
    ads, users = snapshot(settings, "ad_features"), snapshot(settings, "user_features")
    assert (len(ads), len(users)) == (len(world.rows["ads"]), len(world.rows["users"]))
    assert report.rows_out == len(ads) + len(users)
    landed = {(ad["day"], ad["ad_id"]): ad for ad in world.rows["ads"]}
    profiles = {(user["day"], user["user_id"]): user for user in world.rows["users"]}
    for row in ads:
        day, ad = date.fromisoformat(row["day"]), landed[row["day"], row["ad_id"]]
        stamp = day_start(day + timedelta(days=1), "UTC")
        assert (utc(row.pop("event_timestamp")), utc(row.pop("created"))) == (stamp, stamp + timedelta(minutes=90))
        assert row == {name: value for name, value in ad.items() if name != "title"} | oracle_ad(world.rows, ad)
    for row in users:
        user = profiles[row["day"], row["user_id"]]
        del row["event_timestamp"], row["created"]
        assert row == user | oracle_user(world.rows, row["user_id"], date.fromisoformat(row["day"]))
    expect_snapshot_figures(settings, snapshot, world.days.texts())


def test_a_range_equals_day_by_day_in_any_order_and_a_second_run_commits_nothing(
    spark: SparkSession, settings: Settings, tmp_path: Any, worlds: Any, snapshot: Callable[[Settings, str], Any]
) -> None:
    from spark_jobs import delta, features

    world = worlds(days=3, impressions=15)
    settings = settings.model_copy(update=PRODUCTION)
    other = settings.model_copy(update={"tables": str(tmp_path / "other")})
    for one in (settings, other):
        world.write(spark, one)
    features.run(spark, settings, world.days)
    for day in sorted(world.days, reverse=True):
        features.run(spark, other, Days(day, day + timedelta(days=1)))
    tables = ("ad_features", "user_features", "snapshot_figures")
    before = [delta.version(settings, table) for table in tables]
    assert all(snapshot(settings, table) == snapshot(other, table) for table in tables)
    features.run(spark, settings, world.days)
    assert [delta.version(settings, table) for table in tables] == before


def test_what_lands_later_changes_no_snapshot(
    spark: SparkSession, settings: Settings, tmp_path: Any, worlds: Any, snapshot: Callable[[Settings, str], Any]
) -> None:
    """S(X) of a world that goes on equals S(X) of one that ends with X, and labels are never looked at."""
    from spark_jobs import features

    world, known = worlds(days=6), worlds(days=6)
    last = "2026-01-04"
    settings = settings.model_copy(update=PRODUCTION)
    for name, rows in known.rows.items():
        known.rows[name] = [row for row in rows if row["day"] <= last]
    for row in known.rows["impressions"]:
        row["label"], row["clicked_at"] = 1 - row["label"], None
    other = settings.model_copy(update={"tables": str(tmp_path / "other")})
    world.write(spark, settings)
    known.write(spark, other)
    for one in (settings, other):
        features.run(spark, one, Days.parse("2026-01-02", "2026-01-05"))
    for table in ("ad_features", "user_features"):
        assert snapshot(settings, table) == snapshot(other, table)


def test_a_day_that_was_not_published_stops(spark: SparkSession, settings: Settings, worlds: Any) -> None:
    from spark_jobs import features

    worlds(days=2, impressions=5).write(spark, settings)
    with pytest.raises(MissingArtifact, match="2026-01-03"):
        features.run(spark, settings, Days.parse("2026-01-02", "2026-01-04"))
