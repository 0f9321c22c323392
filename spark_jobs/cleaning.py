"""Well-formed or not, copy or not: each landing file against its declared rules (contracts/rules.py) and its key.

`judged` returns the frame it was given with `_reason` (null: the row stays) and `_copy` (true: dropped, counted).
A released row names in `_waived` the reason that shall not count against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from contracts.rules import Suite
from contracts.settings import LandingSettings
from contracts.tables import LANDING
from spark_jobs import predicates
from spark_jobs.caching import cached
from spark_jobs.landing_reader import REASON, WAIVED, first_reason, required
from spark_jobs.slices import SLICE, Slices

COPY, _KNOWN, _KEY = "_copy", "_known", "_key"
KEYS = {  # landing file -> what its rows of a day are told apart by
    "impressions": ("impression_id",),
    "clicks": ("impression_id", "clicked_at"),
    "behaviours": ("user_id", "ad_id", "kind", "at"),
    "ads": ("ad_id",),
    "users": ("user_id",),
}
ONE_CONTENT = ("impressions", "ads", "users")  # two rows with one key but different content contradict each other
FEW = 1_000_000  # repeated keys that are broadcast: some 50 MB on each executor
UNKNOWN_AD = "ad is in neither the day's catalogue nor the day before's"
SAME_ID = "another row has the same id and came first"


def kept(frame: DataFrame, source: str) -> DataFrame:
    """`day` and the declared columns of the rows that stay."""
    return frame.where(F.col(REASON).isNull() & ~F.col(COPY)).select("day", *(c.name for c in LANDING[source]))


@dataclass(frozen=True)
class Repeats:
    """Hashes (`_key`) of the keys that several rows of the landing files have, `n` of them. All other rows are alone
    with their key, so where these are few only they must meet; two keys with one hash meet too, and stay apart by what
    they are."""

    hashes: DataFrame
    n: int
    until: ExitStack  # what is cached until then

    @classmethod
    def of(cls, files: Mapping[str, DataFrame], until: ExitStack) -> Repeats:
        """Of frames by landing file: one query that reads the keys alone."""
        keys = [frame.select(_hash(name).alias(_KEY)) for name, frame in files.items()]
        counts = reduce(DataFrame.union, keys).groupBy(_KEY).agg(F.count(F.lit(1)).alias("n"))
        hashes = cached(counts.where("n > 1").select(_KEY), until)
        return cls(hashes, hashes.count(), until)

    @property
    def few(self) -> bool:
        return self.n <= FEW

    def parted(self, frame: DataFrame, source: str) -> tuple[DataFrame, DataFrame]:
        """(the rows that are alone with their key, the others, cached)."""
        keyed, hashes = frame.withColumn(_KEY, _hash(source)), F.broadcast(self.hashes)
        alone, several = (keyed.join(hashes, _KEY, how).drop(_KEY) for how in ("left_anti", "left_semi"))
        return alone, cached(several, self.until)


def judged(
    frame: DataFrame, slices: Slices, suite: Suite, settings: LandingSettings, repeats: Repeats | None = None
) -> DataFrame:
    """A landing file's rows: its declared rules, then its key. Without `repeats`, or where they are many, each row
    meets those of its slice.

    Of a click that was logged twice, the one that landed first stays; of ads, users and impressions with one id but
    different content, which one stays depends on their content only.
    """
    return _unique(_ruled(frame, suite, settings), suite.table, slices, repeats).drop(WAIVED)


def check_sql(frames: Mapping[str, DataFrame], suites: Mapping[str, Suite]) -> None:
    """Raises SettingsError for a rule of a landing file that is no SQL, before anything is read."""
    for name, frame in frames.items():
        predicates.check_sql(frame, suites[name], "quarantine")


def with_known(frame: DataFrame, ads: DataFrame, small: bool) -> DataFrame:
    """Impressions that stay must be of an ad in `ads`: the catalogues of the days and of the day before the first.
    `small`: they may be broadcast."""
    following = F.date_format(F.date_add(F.to_date("day"), 1), "yyyy-MM-dd").alias("day")
    known = ads.select("day", "ad_id").union(ads.select(following, "ad_id")).distinct().withColumn(_KNOWN, F.lit(True))
    frame = frame.join(F.broadcast(known) if small else known, ["day", "ad_id"], "left")
    unknown = F.col(REASON).isNull() & ~F.col(COPY) & F.col(_KNOWN).isNull()
    return frame.withColumn(REASON, F.when(unknown, F.lit(UNKNOWN_AD)).otherwise(F.col(REASON))).drop(_KNOWN)


def _ruled(frame: DataFrame, suite: Suite, settings: LandingSettings) -> DataFrame:
    declared = []
    for rule in suite.landed():
        waived = F.col(WAIVED).eqNullSafe(F.lit(rule.words))
        declared.append((predicates.broken(rule, settings) & ~waived, rule.words))
    return frame.withColumn(REASON, F.coalesce(F.col(REASON), first_reason(*required(suite.table), *declared)))


def _unique(frame: DataFrame, source: str, slices: Slices, repeats: Repeats | None) -> DataFrame:
    """Of the good rows with one key the first by the rest stays. Exact copies of it are marked `_copy`; each row that
    differs from it gets the reason SAME_ID, or is a copy too where the file's key says all of it."""
    if repeats is None or not repeats.few:
        return _met(frame, source, slices)
    if not repeats.n:
        return frame.withColumn(COPY, F.lit(False))
    alone, several = repeats.parted(frame, source)
    return alone.withColumn(COPY, F.lit(False)).unionByName(_met(several, source, slices.one_a_day()))


def _met(frame: DataFrame, source: str, slices: Slices) -> DataFrame:
    key, rest = KEYS[source], _rest(source)
    frame = slices.dealt(frame.withColumn("_good", F.col(REASON).isNull()), *key)
    order = Window.partitionBy(SLICE, "day", *key, "_good").orderBy(*(F.col(name) for name in rest or key))
    content = F.struct(*rest) if rest else F.lit(1)
    frame = frame.withColumns(
        {"_n": F.row_number().over(order), "_same": content.eqNullSafe(F.first(content).over(order))}
    )
    later = F.col("_good") & (F.col("_n") > 1)
    copy, reason = later, F.col(REASON)
    if source in ONE_CONTENT:
        copy = later & F.col("_same")
        reason = F.when(later & ~F.col("_same"), F.lit(SAME_ID)).otherwise(reason)
    return frame.withColumns({COPY: copy, REASON: reason}).drop("_good", "_n", "_same", SLICE)


def _rest(source: str) -> list[str]:
    """The other columns, as declared: an impression's time is the first, so that the earliest stays."""
    return [one.name for one in LANDING[source] if one.name not in KEYS[source]]


def _hash(source: str) -> SparkColumn:
    return F.xxhash64(F.lit(source), "day", *KEYS[source])
