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
from spark_jobs.quarantine import times

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
    return long_rows(grouped, {name: (F.lit(0), F.col(name)) for name in counts})


def _repeated(frame: DataFrame, rule: rules.AnyRule) -> DataFrame | None:
    if not isinstance(rule, rules.Unique):
        return None
    # 96 bits of hashes stand for the key, a tenth of its bytes: in 500 million rows two keys share them once in 10^12.
    # A null alone does not change a hash.
    told: list[str | SparkColumn] = [*rule.columns, *(F.isnull(column) for column in rule.columns)]
    key = (F.xxhash64(*told).alias("long"), F.hash(*told).alias("short"))
    of_a_key = frame.groupBy("day", *key).agg((F.count(F.lit(1)) - 1).alias("n"))
    return of_a_key.groupBy("day").agg(F.sum("n").alias("n")).select("day", *_named(rules.broken(rule)), "n")


def _by_ad(
    impressions: DataFrame, behaviours: DataFrame, ads: DataFrame, days: Sequence[str], group_size: int
) -> DataFrame:
    """No join: catalogue, the catalogue of the day before, impressions and behaviours meet in one grouping by ad."""
    columns = rules.DRIFT["ads"]
    zero, one = F.lit(0).cast("long"), F.lit(1).cast("long")
    nothing = {"own": zero, "before": zero, "shown": zero, "acted": zero, "pictured": zero}
    nothing |= dict.fromkeys(columns, F.lit(0))

    def part(frame: DataFrame, **given: SparkColumn) -> DataFrame:
        given = nothing | given
        day = given.pop("day", F.col("day"))
        return frame.select(day.alias("day"), "ad_id", *(value.alias(name) for name, value in given.items()))

    following = F.date_add(F.to_date("day"), 1).cast("string")
    everything = [
        part(ads, own=one, pictured=F.col("image").isNotNull().cast("long"), **{c: bucket(c) for c in columns}),
        part(ads, day=following, before=one),
        part(impressions, shown=one),
        part(behaviours, acted=one),
    ]
    met = reduce(DataFrame.union, everything).where(F.col("day").isin(list(days)))
    an_ad = met.groupBy("day", "ad_id").agg(
        *(F.sum(name).alias(name) for name in nothing if name not in columns), *(F.max(c).alias(c) for c in columns)
    )
    known, shown, acted = F.col("own") > 0, F.col("shown"), F.col("acted")
    totals = {
        "before": F.col("before"),
        "catalogue": known.cast("long"),
        "without_picture": (known & (F.col("pictured") == 0)).cast("long"),
        "unknown_ads": F.when(~known & (F.col("before") == 0), shown),
        "groups": F.ceil(shown / group_size).cast("long"),
        "acted": acted,
        "acted_on_known": F.when(known, acted),
    }
    return _summed(an_ad, totals, columns, F.when(known, shown))


def _by_user(impressions: DataFrame, users: DataFrame) -> DataFrame:
    columns = rules.DRIFT["users"]
    zero, one = F.lit(0).cast("long"), F.lit(1).cast("long")
    buckets = (bucket(column).alias(column) for column in columns)
    user = F.xxhash64("user_id").alias("user")  # a third of the id's bytes; in 10^8 users hardly one has another's hash
    profiles = users.select("day", user, one.alias("own"), zero.alias("shown"), *buckets)
    nothing = (F.lit(0).alias(column) for column in columns)
    shown = impressions.select("day", user, zero.alias("own"), one.alias("shown"), *nothing)
    a_user = (
        profiles.union(shown)
        .groupBy("day", "user")
        .agg(F.sum("own").alias("own"), F.sum("shown").alias("shown"), *(F.max(c).alias(c) for c in columns))
    )
    shown_to_known = F.when(F.col("own") > 0, F.col("shown"))
    totals = {"profiles": (F.col("own") > 0).cast("long"), "known_users": shown_to_known}
    return _summed(a_user, totals, columns, shown_to_known)


def _by_value(impressions: DataFrame, columns: Sequence[str]) -> DataFrame:
    buckets = impressions.select("day", *(bucket(column).alias(column) for column in columns))
    return _summed(buckets, {}, columns, F.lit(1))


def _set_aside(quarantine: DataFrame) -> DataFrame:
    what = F.concat(F.lit("aside "), "source", F.lit(": "), "reason")
    return quarantine.groupBy("day", what.alias("what"), F.lit(0).alias("part")).agg(F.sum(times()).alias("n"))


def bucket(column: str) -> SparkColumn:
    """0 for null, else 1 ... BUCKETS - 1 by a hash of the value's text."""
    hashed = F.pmod(F.xxhash64(F.col(column).cast("string")), F.lit(BUCKETS - 1)) + 1
    return F.when(F.col(column).isNull(), F.lit(0)).otherwise(hashed).cast("int")


def _summed(frame: DataFrame, totals: Mapping[str, SparkColumn], columns: Sequence[str], n: SparkColumn) -> DataFrame:
    """Sums of `totals`, and of `n` by bucket of each of the `columns`. Rows with equal buckets are added up first: few
    are left then."""
    sums = (F.sum(column.cast("long")).alias(name) for name, column in (dict(totals) | {"n": n}).items())
    few = frame.groupBy("day", *columns).agg(*sums)
    entries = {name: (F.lit(0), F.col(name)) for name in totals}
    entries |= {f"drift_{column}": (F.col(column), F.col("n")) for column in columns}
    return long_rows(few, entries).groupBy("day", "what", "part").agg(F.sum("n").alias("n"))


def long_rows(frame: DataFrame, entries: Mapping[str, tuple[SparkColumn, SparkColumn]]) -> DataFrame:
    """A row (day, what, part, n) for each of the entries (what -> part, n) and row; nulls and zeros left out."""
    structs = [
        F.struct(F.lit(what).alias("what"), part.cast("int").alias("part"), n.cast("long").alias("n"))
        for what, (part, n) in entries.items()
    ]
    rows = frame.select("day", F.explode(F.array(*structs)).alias("one")).select("day", "one.*")
    return rows.where(F.col("n") != 0)


def _named(what: str) -> Iterable[SparkColumn]:
    return F.lit(what).alias("what"), F.lit(0).alias("part")
