"""What is counted of staged days, all of it in one Spark query: small groups of (day, what, part, n)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from contracts import rules
from contracts.settings import LandingSettings
from spark_jobs import predicates

BUCKETS = 16  # of a drift's histogram; the first is null's own
Counts = dict[str, dict[tuple[str, int], int]]  # day -> (what, part) -> n


def counted(
    frames: Mapping[str, DataFrame], suites: Mapping[str, rules.Suite], settings: LandingSettings, days: Sequence[str]
) -> Counts:
    """Of staged frames (`impressions`, `clicks`, `behaviours`, `ads`, `users`, `quarantine`): `ads` holds the days
    before `days` too, and `impressions` may hold further days, of which only rows and clicks are of use.

    The driver gets some hundred numbers a day, whatever the day's size.
    """
    for name, suite in suites.items():
        predicates.check_sql(frames[name], suite, "stop")
    own = {name: frame.where(F.col("day").isin(list(days))) for name, frame in frames.items()}
    rows = F.count(F.lit(1))
    of_log = {"rows": rows, "labels": F.sum("label"), "newest_shown": F.max(F.unix_micros("shown_at"))}
    of_clicks = {"clicks": rows, "newest_landed": F.max(F.unix_micros("landed_at"))}
    parts = [
        _aggregated(frames["impressions"], suites["impressions"], settings, of_log),
        _aggregated(own["clicks"], suites["clicks"], settings, of_clicks),
        *(_aggregated(own[name], suites[name], settings, {}) for name in ("behaviours", "ads", "users")),
        *(_repeated(own[name], rule) for name, suite in suites.items() for rule in suite.staged()),
        _by_ad(own["impressions"], own["behaviours"], frames["ads"], days, settings.ad_group_size),
        _by_user(own["impressions"], own["users"]),
        _by_value(own["impressions"], rules.DRIFT["impressions"]),
        _set_aside(own["quarantine"]),
    ]
    together = reduce(DataFrame.union, (part for part in parts if part is not None))
    found: Counts = {day: {} for day in days}
    for row in together.collect():
        found.setdefault(row["day"], {})[row["what"], row["part"]] = row["n"]
    return found


def aside(source: str, reason: str) -> str:
    """The name under which rows set aside are counted."""
    return f"aside {source}: {reason}"


def _aggregated(
    frame: DataFrame, suite: rules.Suite, settings: LandingSettings, more: Mapping[str, SparkColumn]
) -> DataFrame | None:
    """Rows that break each of the suite's rules, and `more`, by day."""
    counts = {
        rules.broken(rule): F.count_if(predicates.broken(rule, settings))
        for rule in suite.staged()
        if not isinstance(rule, rules.Unique)
    }
    counts |= more
    if not counts:
        return None
    grouped = frame.groupBy("day").agg(*(counted.cast("long").alias(name) for name, counted in counts.items()))
    return _long(grouped, {name: (F.lit(0), F.col(name)) for name in counts})


def _repeated(frame: DataFrame, rule: rules.AnyRule) -> DataFrame | None:
    if not isinstance(rule, rules.Unique):
        return None
    of_a_key = frame.groupBy("day", *rule.columns).agg((F.count(F.lit(1)) - 1).alias("n"))
    return of_a_key.groupBy("day").agg(F.sum("n").alias("n")).select("day", *_named(rules.broken(rule)), "n")


def _by_ad(
    impressions: DataFrame, behaviours: DataFrame, ads: DataFrame, days: Sequence[str], group_size: int
) -> DataFrame:
    """No join: catalogue, the catalogue of the day before, impressions and behaviours meet in one grouping by ad."""
    columns = rules.DRIFT["ads"]
    zero = F.lit(0).cast("long")
    nothing = {"own": zero, "before": zero, "shown": zero, "acted": zero, "pictured": zero}
    nothing |= {column: F.lit(None).cast("string") for column in columns}

    def part(frame: DataFrame, **given: SparkColumn) -> DataFrame:
        given = nothing | given
        day = given.pop("day", F.col("day"))
        return frame.select(day.alias("day"), "ad_id", *(value.alias(name) for name, value in given.items()))

    one = F.lit(1).cast("long")
    following = F.date_add(F.to_date("day"), 1).cast("string")
    pictured = F.col("image").isNotNull().cast("long")
    everything = [
        part(ads, own=one, pictured=pictured, **{column: F.col(column) for column in columns}),
        part(ads, day=following, before=one),
        part(impressions, shown=one),
        part(behaviours, acted=one),
    ]
    an_ad = (
        reduce(DataFrame.union, everything)
        .where(F.col("day").isin(list(days)))
        .groupBy("day", "ad_id")
        .agg(
            *(F.sum(name).alias(name) for name in nothing if name not in columns), *(F.max(c).alias(c) for c in columns)
        )
    )
    known, shown, acted = F.col("own") > 0, F.col("shown"), F.col("acted")
    return _summed(
        an_ad,
        {
            "before": (F.lit(0), F.col("before")),
            "catalogue": (F.lit(0), known.cast("long")),
            "without_picture": (F.lit(0), (known & (F.col("pictured") == 0)).cast("long")),
            "unknown_ads": (F.lit(0), F.when(~known & (F.col("before") == 0), shown)),
            "groups": (F.lit(0), F.ceil(shown / group_size).cast("long")),
            "acted": (F.lit(0), acted),
            "acted_on_known": (F.lit(0), F.when(known, acted)),
            **{f"drift_{column}": (_bucket(column), F.when(known, shown)) for column in columns},
        },
    )


def _by_user(impressions: DataFrame, users: DataFrame) -> DataFrame:
    columns = rules.DRIFT["users"]
    zero, one = F.lit(0).cast("long"), F.lit(1).cast("long")
    profiles = users.select("day", "user_id", one.alias("own"), zero.alias("shown"), *columns)
    shown = impressions.select(
        "day", "user_id", zero.alias("own"), one.alias("shown"), *(F.lit(None).cast("string").alias(c) for c in columns)
    )
    a_user = (
        profiles.union(shown)
        .groupBy("day", "user_id")
        .agg(F.sum("own").alias("own"), F.sum("shown").alias("shown"), *(F.max(c).alias(c) for c in columns))
    )
    known = F.col("own") > 0
    return _summed(
        a_user,
        {
            "profiles": (F.lit(0), known.cast("long")),
            "known_users": (F.lit(0), F.when(known, F.col("shown"))),
            **{f"drift_{column}": (_bucket(column), F.when(known, F.col("shown"))) for column in columns},
        },
    )


def _by_value(impressions: DataFrame, columns: Sequence[str]) -> DataFrame:
    counts = impressions.groupBy("day", *columns).agg(F.count(F.lit(1)).alias("n"))
    return _summed(counts, {f"drift_{column}": (_bucket(column), F.col("n")) for column in columns})


def _set_aside(quarantine: DataFrame) -> DataFrame:
    what = F.concat(F.lit("aside "), "source", F.lit(": "), "reason")
    return quarantine.groupBy("day", what.alias("what"), F.lit(0).alias("part")).agg(F.count(F.lit(1)).alias("n"))


def _bucket(column: str) -> SparkColumn:
    """0 for null, else 1 ... BUCKETS - 1 by a hash of the value's text."""
    hashed = F.pmod(F.xxhash64(F.col(column).cast("string")), F.lit(BUCKETS - 1)) + 1
    return F.when(F.col(column).isNull(), F.lit(0)).otherwise(hashed).cast("int")


def _summed(frame: DataFrame, entries: Mapping[str, tuple[SparkColumn, SparkColumn]]) -> DataFrame:
    return _long(frame, entries).groupBy("day", "what", "part").agg(F.sum("n").alias("n"))


def _long(frame: DataFrame, entries: Mapping[str, tuple[SparkColumn, SparkColumn]]) -> DataFrame:
    """A row (day, what, part, n) for each of the entries (what -> part, n) and row; nulls and zeros left out."""
    structs = [
        F.struct(F.lit(what).alias("what"), part.cast("int").alias("part"), n.cast("long").alias("n"))
        for what, (part, n) in entries.items()
    ]
    rows = frame.select("day", F.explode(F.array(*structs)).alias("one")).select("day", "one.*")
    return rows.where(F.col("n") != 0)


def _named(what: str) -> Iterable[SparkColumn]:
    return F.lit(what).alias("what"), F.lit(0).alias("part")
