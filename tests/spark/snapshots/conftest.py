"""A small world of landed tables, made in Python so that an oracle in Python can read the same rows."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from contracts.days import Days
from contracts.settings import Settings
from contracts.tables import TABLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FIRST = date(2026, 1, 1)
Row = dict[str, Any]


@dataclass
class World:
    """Rows by table; `day` of impressions is the business day, of the others the landing folder."""

    days: Days
    rows: dict[str, list[Row]] = field(default_factory=lambda: {n: [] for n in NAMES})

    def write(self, spark: SparkSession, settings: Settings) -> None:
        from spark_jobs import delta

        for name, rows in self.rows.items():
            names = TABLES[name].names()
            frame = spark.createDataFrame([tuple(row.get(c) for c in names) for row in rows], TABLES[name].ddl)
            delta.write_days(spark, settings, name, frame, self.days.texts())


QUERIES = (None, "", "Red shoe", "é RED red")
NAMES = ("impressions", "clicks", "behaviours", "ads", "users")


def moment(day: date, rng: random.Random) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=rng.randrange(86_400))


def make_world(days: int = 10, impressions: int = 40, seed: int = 3) -> World:
    """Ids repeat over the days; an ad enters on day 4 and one leaves after day 5; some clicks land late or twice."""
    rng = random.Random(seed)
    world = World(Days(FIRST, FIRST + timedelta(days=days)))
    rows = world.rows
    users = [f"u{n}" for n in range(8)] + ["nobody"]  # the last has no profile
    for at, day in enumerate(world.days):
        text = day.isoformat()
        ads = [f"a{n}" for n in range(12) if not (n == 11 and at < 4) and not (n == 0 and at > 5)]
        for n, ad in enumerate(ads):
            category = None if n == 3 else f"c{(int(ad[1:]) + (at > 6)) % 4}"
            title = [f"Red  {ad} SHOE\tred é", "", None, "ÀB ab AB"][int(ad[1:]) % 4]
            rows["ads"].append(
                {"day": text, "ad_id": ad, "category_id": category, "brand_id": f"b{n % 3}", "shop_id": None,
                 "price": None if n == 5 else n + at / 10, "title": title, "reviews": 10 * n + at, "image": f"{n:064x}"}
            )  # fmt: skip
        for n, user in enumerate(users[:-1]):
            region = None if n == 2 else f"r{(n + at) % 3}"
            rows["users"].append(
                {"day": text, "user_id": user, "age_band": "25-34", "gender": "mf"[n % 2], "region": region,
                 "price_sensitivity": "low"}
            )  # fmt: skip
        for n in range(impressions):
            shown = moment(day, rng)
            one = {"day": text, "impression_id": f"i{n}", "shown_at": shown, "user_id": rng.choice(users),
                   "ad_id": rng.choice(ads), "position": n % 4, "query": rng.choice(QUERIES),
                   "label": 0, "clicked_at": None}  # fmt: skip
            if rng.random() < 0.4:
                clicked = shown + timedelta(minutes=rng.choice([-5, 0, 3, 30, 60, 61]))
                lag = rng.choice([0, 0, 0, 1, 3, 4])
                folder = min(day + timedelta(days=lag), world.days.end - timedelta(days=1))
                click = {"day": folder.isoformat(), "impression_id": one["impression_id"], "clicked_at": clicked,
                         "landed_at": clicked + timedelta(days=lag)}  # fmt: skip
                rows["clicks"].append(click)
                if rng.random() < 0.3:
                    rows["clicks"].append({**click, "clicked_at": clicked + timedelta(seconds=1)})
                one["label"], one["clicked_at"] = 1, clicked  # what the table knows by now; S(X) must not look
            rows["impressions"].append(one)
        for _ in range(30):
            acted = moment(day, rng) + timedelta(hours=rng.choice([0, 0, -30, 3]))
            user, ad = rng.choice(users[:6]), rng.randrange(14)
            rows["behaviours"].append(
                {"day": text, "user_id": user, "ad_id": f"a{ad}", "kind": ("view", "order", "view", "cart")[ad % 4],
                 "at": acted.replace(minute=0, second=0)}
            )  # fmt: skip
    rows["behaviours"] = list({tuple(r.values()): r for r in rows["behaviours"]}.values())
    return world


@pytest.fixture
def world() -> World:
    return make_world()


@pytest.fixture
def worlds() -> Callable[..., World]:
    return make_world


@pytest.fixture
def snapshot(spark: SparkSession) -> Callable[[Settings, str], list[Row]]:
    """All rows of a table, sorted, as plain dictionaries."""

    def rows(settings: Settings, name: str) -> list[Row]:
        from spark_jobs import delta

        table = delta.declaration(name, settings)
        found = [row.asDict(recursive=True) for row in delta.read(spark, settings, name).collect()]
        return sorted(found, key=lambda row: tuple(str(row[key]) for key in table.key))

    return rows
