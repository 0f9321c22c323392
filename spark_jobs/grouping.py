"""Rows -> groups of at most so many rows of one key, as few as can be, in an order that only the rows decide."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from contracts.settings import LandingSettings, Settings
from spark_jobs import skew
from spark_jobs.skew import SALT
from spark_jobs.slices import SLICE, Slices

GROUPS_PER_TASK = 10_000  # of one heavy key, in a task of the last shuffle
LONGEST_DAY = 25 * 3_600 * 1_000_000  # microseconds, where clocks go back


@dataclass(frozen=True)
class Rule:
    """`order` leaves no ties; `beside`: the columns that it needs beside the row; `place`: where in the order a row
    lies, about, in [0, 1) and never falling along it."""

    size: int
    beside: tuple[SparkColumn, ...]
    order: tuple[str, ...]
    place: SparkColumn


def hashed_place(hashed: SparkColumn) -> SparkColumn:
    """Of a 64-bit hash among all of them: uniform. In steps of 2^-53, so that 1 is never reached."""
    return (F.shiftright(hashed, 11) + F.lit(1 << 52)) / F.lit(float(1 << 53))


def by_ad(settings: Settings) -> Rule:
    """In the order of the impressions' hashes with the seed: a shuffle that repeats, that no partitioning changes, and
    that another seed deals anew. A day that is not written again keeps the order of the seed that wrote it."""
    hashed = F.xxhash64("impression_id", F.lit(settings.seed).cast("long"))
    beside = (hashed.alias("_o1"), F.col("impression_id").alias("_o2"))
    return Rule(settings.ad_group_size, beside, ("_o1", "_o2"), hashed_place(F.col("_o1")))


def by_user(settings: LandingSettings) -> Rule:
    """In the order shown."""
    beside = (F.col("shown_at").alias("_o1"), F.col("impression_id").alias("_o2"))
    start = F.to_utc_timestamp(F.col("day").cast("timestamp"), settings.time_zone)
    passed = F.unix_micros("_o1") - F.unix_micros(start)
    return Rule(settings.user_group_size, beside, ("_o1", "_o2"), passed / F.lit(LONGEST_DAY))


def grouped(dealt: DataFrame, key: str, rule: Rule) -> DataFrame:
    """_slice, day, seen, <key>, group_id, impressions. `dealt`: `row` and the rule's columns, by slices of the key.

    Rows that saw different snapshots (`seen`) are never in one group: it holds the key's features once.
    """
    own = Window.partitionBy(SLICE, "day", "seen", key).orderBy(*rule.order)
    return _listed(dealt.withColumn("_rank", F.row_number().over(own) - 1), key, rule)


def grouped_heavy(slices: Slices, rows: DataFrame, heavy: DataFrame, key: str, rule: Rule) -> DataFrame:
    """The same groups for keys that one task should not hold: ranked in salted pieces of the order, each of which
    knows how many rows lie before it, then dealt by blocks of groups."""
    on = ["day", "seen", key]
    rows = skew.salted(rows, heavy, key, rule.place)
    pieces = rows.groupBy(*on, SALT).agg(F.count(F.lit(1)).alias("_n"))
    before = Window.partitionBy(*on).orderBy(SALT).rowsBetween(Window.unboundedPreceding, -1)
    offsets = pieces.select(*on, SALT, F.coalesce(F.sum("_n").over(before), F.lit(0)).alias("_before"))
    dealt = slices.dealt(rows.join(F.broadcast(offsets), [*on, SALT]), key, SALT)
    own = Window.partitionBy(SLICE, *on, SALT).orderBy(*rule.order)
    ranked = dealt.withColumn("_rank", (F.col("_before") + F.row_number().over(own) - 1).cast("long"))
    block = F.floor(F.col("_rank") / (rule.size * GROUPS_PER_TASK))
    return _listed(slices.dealt(ranked.drop(SLICE).withColumn("_block", block), key, "_block"), key, rule)


def _listed(ranked: DataFrame, key: str, rule: Rule) -> DataFrame:
    part = F.floor(F.col("_rank") / rule.size).cast("int").alias("_part")
    entries = F.sort_array(F.collect_list(F.struct("_rank", "row")))
    lists = ranked.groupBy(SLICE, "day", "seen", key, part).agg(entries.alias("_entries"))
    return lists.select(
        SLICE, "day", "seen", key,
        F.concat_ws("#", key, "seen", "_part").alias("group_id"),
        F.transform("_entries", lambda one: one["row"]).alias("impressions"),
    )  # fmt: skip
