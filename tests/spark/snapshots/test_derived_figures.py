"""What is followed of snapshots and groups, against plain Python over their own rows."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from contracts.derived import SNAPSHOTS, valued
from contracts.feature import Feature, value_type
from contracts.features import BY_NAME, built
from contracts.hashing import code
from contracts.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Row = dict[str, Any]
Snapshot = Callable[[Settings, str], list[Row]]


def by_day(rows: list[Row]) -> dict[str, dict[str, Row]]:
    """Day -> figure -> its row."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row["day"], {})[row["figure"]] = row
    return found


def oracle_bucket(feature: Feature, value: Any) -> int:
    if value is None or value != value:
        return 0
    if isinstance(value, list):
        return min(len(value) + 1, 15)
    if value_type(feature) == "string":
        return code(value) % 15 + 1
    if value == 0:
        return 1
    return 2 + (math.floor(math.log(abs(value)) / math.log(2)) + (7 if value < 0 else 0)) % 14


def oracle_index(day: list[int], before: list[int]) -> float:
    """Population stability index; an empty bucket counts as a share of 0.0001."""
    p, q = ([max(n / sum(counts), 1e-4) for n in counts] for counts in (day, before))
    return sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))


def expect_snapshot_figures(settings: Settings, snapshot: Snapshot, days: list[str]) -> None:
    """Rows, missing values and drift of every built feature, told from the snapshots' own rows (test_features)."""
    found = by_day(snapshot(settings, "snapshot_figures"))
    assert sorted(found) == days
    for table, side in SNAPSHOTS.items():
        rows = snapshot(settings, table)
        own = {day: [row for row in rows if row["day"] == day] for day in days}
        assert {day: found[day][f"{side}_rows"]["value"] for day in days} == {day: len(own[day]) for day in days}
        for feature in valued(built(settings), side):
            name, buckets = feature.name, {}
            for n, (day, some) in enumerate(own.items()):
                placed = [oracle_bucket(feature, row[name]) for row in some]
                buckets[day] = [placed.count(part) for part in range(16)]
                drift, missing = found[day][f"drift_{name}"], found[day][f"missing_{name}"]
                assert drift["buckets"] == buckets[day], (day, name)
                assert missing["value"] == pytest.approx(buckets[day][0] / len(some))
                assert (drift["table"], drift["level"], missing["level"]) == (table, "warn", "warn")
                week = [buckets[before] for before in days[max(0, n - 7) : n]]
                if n < 3:
                    assert drift["value"] is None, "two days are no week"
                else:
                    summed = [sum(counts) for counts in zip(*week, strict=True)]
                    assert drift["value"] == pytest.approx(oracle_index(buckets[day], summed), abs=1e-12), (day, name)


PRICES = {
    "the same, drawn anew": (lambda price: price, False),
    "half as dear again": (lambda price: price * 1.6, True),
    "in cents": (lambda price: price * 100, True),
    "with the other sign": (lambda price: -price, True),
    "half of them gone": (lambda price: None if price > 60 else price, True),
    "half of them nothing": (lambda price: 0.0 if price > 60 else price, True),
}


def test_a_numbers_drift_reacts_to_a_shift_and_not_to_a_like_day(spark: SparkSession) -> None:
    from spark_jobs import figures, snapshot_figures

    rng = random.Random(5)

    def drawn() -> list[float]:
        return [rng.lognormvariate(math.log(60), 0.8) for _ in range(1_500)]

    before = drawn()
    days = {"before": before} | {name: [of(price) for price in drawn()] for name, (of, _) in PRICES.items()}
    rows = [(day, price) for day, prices in days.items() for price in prices]
    frame = spark.createDataFrame(rows, "day string, price double")
    counted: dict[str, list[int]] = {day: [0] * 16 for day in days}
    for row in snapshot_figures.counts(frame, "ad", [BY_NAME["price"]]).where("what = 'drift_price'").collect():
        counted[row["day"]][row["part"]] = row["n"]
    for name, (_, moves) in PRICES.items():
        assert (figures.stability_index(counted[name], counted["before"]) > 0.25) == moves, name


def test_figures_of_groups_and_labels_that_come_late(
    spark: SparkSession, settings: Settings, worlds: Any, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against plain Python. A run that is killed before it has judged relabelled groups leaves that to the next one."""
    from spark_jobs import derived_audit, features, groups, rebuild

    settings = settings.model_copy(update={"ad_group_size": 4})
    world = worlds(days=4, impressions=40)
    world.write(spark, settings)
    features.run(spark, settings, world.days)
    groups.run(spark, settings, world.days)

    def judged() -> dict[str, dict[str, Row]]:
        found = by_day(snapshot(settings, "group_figures"))
        assert sorted(found) == world.days.texts()[1:], "the first day forms no groups"
        for table, side, size in (("ad_groups", "ad", 4), ("user_groups", "user", settings.user_group_size)):
            of = snapshot(settings, table)
            known = {(row["day"], row[f"{side}_id"]) for row in snapshot(settings, f"{side}_features")}
            for day, figures in found.items():
                own = [group for group in of if group["day"] == day]
                shown = [(group[f"{side}_id"], one) for group in own for one in group["impressions"]]
                before = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
                wanted = {
                    "groups": len(own), "group_rows": 40, "rows_off": 0, "labels_off": 0, "overfull": 0,
                    "group_ctr": sum(one["label"] for _, one in shown) / 40, "group_fill": 40 / len(own) / size,
                    "unknown": sum((before, entity) not in known for entity, _ in shown) / 40,
                }  # fmt: skip
                for name, value in wanted.items():
                    assert figures[f"{side}_{name}"]["value"] == pytest.approx(value), (day, side, name)
        return found

    first = judged()
    assert any(figures["user_unknown"]["value"] > 0 for figures in first.values())
    relabelled = [row for row in world.rows["impressions"] if row["day"] == "2026-01-02"]
    for row in relabelled:
        row["label"] = 1 - row["label"]
    world.write(spark, settings)

    def killed(*given: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(derived_audit.Audit, "judge", killed)
        rebuild.run(spark, settings, world.days)
    assert "2026-01-02" not in by_day(snapshot(settings, "group_figures"))
    rebuild.run(spark, settings, world.days)
    now, mirrored = judged()["2026-01-02"]["ad_group_ctr"]["value"], first["2026-01-02"]["ad_group_ctr"]["value"]
    assert now == pytest.approx(1 - mirrored)
