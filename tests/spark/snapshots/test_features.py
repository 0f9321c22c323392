"""Stage 3 against an oracle in plain Python, and rule 2: a snapshot is a pure function of what had landed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from contracts.days import Days, day_start
from contracts.errors import MissingArtifact
from contracts.hashing import words
from contracts.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC)


def near(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-12)


def oracle_ctr(rows: dict[str, list[dict[str, Any]]], key: str, entity: str, day: date) -> float | None:
    """Impression by impression, click by click."""
    shown = clicked = 0
    for one in rows["impressions"]:
        age = (day - date.fromisoformat(one["day"])).days
        if one[key] != entity or not 0 <= age <= 6:
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


def oracle_history(rows: dict[str, list[dict[str, Any]]], user: str, day: date) -> list[str] | None:
    stamp = day_start(day + timedelta(days=1), "UTC")
    catalogue = {ad["ad_id"]: ad["category_id"] for ad in rows["ads"] if ad["day"] == day.isoformat()}
    acted = [
        one
        for one in rows["behaviours"]
        if one["user_id"] == user and 0 <= (day - date.fromisoformat(one["day"])).days <= 6 and one["at"] < stamp
    ]
    acted.sort(key=lambda one: one["ad_id"])
    acted.sort(key=lambda one: one["at"], reverse=True)
    return [c for one in acted[:10] if (c := catalogue.get(one["ad_id"])) is not None] or None


def test_every_value_against_the_oracle(
    spark: SparkSession, settings: Settings, world: Any, snapshot: Callable[[Settings, str], list[dict[str, Any]]]
) -> None:
    from spark_jobs import features

    settings = settings.model_copy(update={"publication_delay_minutes": 90})
    world.write(spark, settings)
    report = features.run(spark, settings, world.days)
    ads, users = snapshot(settings, "ad_features"), snapshot(settings, "user_features")
    assert (len(ads), len(users)) == (len(world.rows["ads"]), len(world.rows["users"]))
    assert report.rows_out == len(ads) + len(users)
    landed = {(ad["day"], ad["ad_id"]): ad for ad in world.rows["ads"]}
    for row in ads:
        day, ad = date.fromisoformat(row["day"]), landed[row["day"], row["ad_id"]]
        stamp = day_start(day + timedelta(days=1), "UTC")
        assert utc(row["event_timestamp"]) == stamp
        assert utc(row["created"]) == stamp + timedelta(minutes=90)
        assert {n: row[n] for n in ("category_id", "brand_id", "shop_id", "price", "reviews", "image")} == {
            n: ad[n] for n in ("category_id", "brand_id", "shop_id", "price", "reviews", "image")
        }
        assert row["title_words"] == words(ad["title"], 8)
        assert row["ad_ctr_7d"] == near(oracle_ctr(world.rows, "ad_id", row["ad_id"], day))
    for row in users:
        day = date.fromisoformat(row["day"])
        assert row["user_ctr_7d"] == near(oracle_ctr(world.rows, "user_id", row["user_id"], day))
        assert row["recent_categories"] == oracle_history(world.rows, row["user_id"], day), row


def test_a_range_equals_day_by_day_in_any_order_and_a_second_run_commits_nothing(
    spark: SparkSession, settings: Settings, tmp_path: Any, worlds: Any, snapshot: Callable[[Settings, str], Any]
) -> None:
    from spark_jobs import delta, features

    world = worlds(days=4, impressions=15)
    other = settings.model_copy(update={"tables": str(tmp_path / "other")})
    for one in (settings, other):
        world.write(spark, one)
    features.run(spark, settings, world.days)
    for day in sorted(world.days, reverse=True):
        features.run(spark, other, Days(day, day + timedelta(days=1)))
    for table in ("ad_features", "user_features"):
        assert snapshot(settings, table) == snapshot(other, table)
        before = delta.version(settings, table)
        features.run(spark, settings, world.days)
        assert delta.version(settings, table) == before


def test_what_lands_later_changes_no_snapshot(
    spark: SparkSession, settings: Settings, tmp_path: Any, worlds: Any, snapshot: Callable[[Settings, str], Any]
) -> None:
    """S(X) of a world that goes on equals S(X) of one that ends with X, and labels are never looked at."""
    from spark_jobs import features

    world, known = worlds(days=6), worlds(days=6)
    last = "2026-01-04"
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
