"""The figures by which a staged day is judged, and the bounds that the trailing week gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.days import Days
from contracts.settings import LandingSettings, Settings
from spark_jobs import cleaning, delta, labels, landing_reader

TRAILING_DAYS = 7
MIN_TRAILING = 3  # fewer days before: no bound from them (the first days of a history have nothing to be compared to)


@dataclass(frozen=True)
class DayFigures:
    """One day. `rows`: impressions; `ctr`: labels per impression; shares in [0, 1]; None: no such bound."""

    day: str
    rows: int
    ctr: float
    min_rows: float | None
    max_rows: float | None
    min_ctr: float | None
    max_ctr: float | None
    quarantined_share: float
    unknown_ads: int | None  # None: the catalogue of the day before is not staged
    known_users: float
    repeated_ads: int
    repeated_users: int


SCHEMA = (
    "day string, rows double, ctr double, min_rows double, max_rows double, min_ctr double, max_ctr double, "
    "quarantined_share double, unknown_ads double, known_users double, repeated_ads double, repeated_users double"
)


def audited_rows(impressions: DataFrame, settings: LandingSettings) -> DataFrame:
    """Impressions with `shown_in_day` and `click_in_window` (1 or 0)."""
    window = F.make_interval(mins=F.lit(settings.attribution_window_minutes))
    in_day = cleaning.business_day("shown_at", settings.time_zone) == F.col("day")
    clicked, shown = F.col("clicked_at"), F.col("shown_at")
    in_window = F.when(F.col("label") == 1, (clicked >= shown) & (clicked <= shown + window)).otherwise(
        clicked.isNull()
    )
    return impressions.withColumns(
        {
            "shown_in_day": F.coalesce(in_day, F.lit(False)).cast("int"),
            "click_in_window": F.coalesce(in_window, F.lit(False)).cast("int"),
        }
    )


def of_days(spark: SparkSession, settings: Settings, days: Days) -> list[DayFigures]:
    """One entry a day, in order, from the staged tables; trailing weeks from what is published and the range itself."""
    texts = days.texts()
    before = days.widened(before=TRAILING_DAYS).texts()[: -len(texts)]
    counted = _counts(delta.read(spark, settings, "impressions", texts, staged=True))
    if delta.exists(settings, "impressions"):
        counted |= _counts(delta.read(spark, settings, "impressions", before))
    aside, landed = _set_aside(spark, settings, texts)
    matched = _matched(spark, settings, texts)
    repeated = {name: _repeated(spark, settings, name, key, texts) for name, key in _ENTITIES}
    staged = delta.built_days(settings, "ads", staged=True)
    found = []
    for day in texts:
        rows, clicks = counted.get(day, (0, 0))
        users, unknown = matched.get(day, (0, 0))
        found.append(
            DayFigures(
                day,
                rows,
                clicks / rows if rows else 0.0,
                **bounds(day, counted, settings),
                quarantined_share=aside.get(day, 0) / landed[day] if landed.get(day) else 0.0,
                unknown_ads=unknown if landing_reader.day_before(day) in staged else None,
                known_users=users / rows if rows else 0.0,
                repeated_ads=repeated["ads"].get(day, 0),
                repeated_users=repeated["users"].get(day, 0),
            )
        )
    return found


def bounds(
    day: str, counted: Mapping[str, tuple[int, int]], settings: LandingSettings
) -> dict[str, float | None]:
    """The landing folder's own bound where it has one, otherwise half and twice the trailing week's (pooled); none
    where fewer than MIN_TRAILING of its days are there. `counted`: day -> (impressions, clicks)."""
    own = date.fromisoformat(day)
    week = [(own - timedelta(days=n)).isoformat() for n in range(1, TRAILING_DAYS + 1)]
    there = [counted[one] for one in week if counted.get(one, (0, 0))[0] > 0]
    rows = ctr = None
    if len(there) >= MIN_TRAILING:
        total = sum(n for n, _ in there)
        rows, ctr = total / len(there), sum(clicks for _, clicks in there) / total

    def bound(said: float | None, trailing: float | None, factor: float) -> float | None:
        return said if said is not None else None if trailing is None else factor * trailing

    return {
        "min_rows": bound(settings.min_rows, rows, 0.5),
        "max_rows": bound(settings.max_rows, rows, 2.0),
        "min_ctr": bound(settings.min_ctr, ctr, 0.5),
        "max_ctr": bound(settings.max_ctr, ctr, 2.0),
    }


def as_frame(spark: SparkSession, figures: Sequence[DayFigures]) -> DataFrame:
    names = [field.name for field in fields(DayFigures)]
    rows = []
    for one in figures:
        values = [getattr(one, name) for name in names]
        rows.append(tuple(float(v) if isinstance(v, int | float) else v for v in values))
    return spark.createDataFrame(rows, SCHEMA)


_ENTITIES = (("ads", "ad_id"), ("users", "user_id"))


def _counts(impressions: DataFrame) -> dict[str, tuple[int, int]]:
    rows = impressions.groupBy("day").agg(F.count(F.lit(1)).alias("n"), F.sum("label").alias("clicks")).collect()
    return {row["day"]: (row["n"], row["clicks"]) for row in rows}


def _set_aside(
    spark: SparkSession, settings: Settings, days: Sequence[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Per folder, impressions and clicks together: rows set aside, and rows that landed (exact copies apart)."""
    quarantine = delta.read(spark, settings, "quarantine", days, staged=True)
    quarantine = quarantine.where(F.col("source").isin("impressions", "clicks"))
    # A click without its impression is well formed: it is in `clicks` too and must not be counted twice.
    outside = (~F.col("reason").isin(*labels.CLICK_REASONS)).cast("int")
    parts = [quarantine.select("day", F.lit(1).alias("aside"), outside.alias("landed"))]
    for name in ("impressions", "clicks"):
        rows = delta.read(spark, settings, name, days, staged=True)
        parts.append(rows.select("day", F.lit(0).alias("aside"), F.lit(1).alias("landed")))
    together = parts[0].union(parts[1]).union(parts[2])
    summed = together.groupBy("day").agg(F.sum("aside").alias("aside"), F.sum("landed").alias("landed")).collect()
    return {r["day"]: r["aside"] for r in summed}, {r["day"]: r["landed"] for r in summed}


def _matched(spark: SparkSession, settings: Settings, days: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Day -> (impressions of users with a profile, impressions of ads in neither catalogue)."""
    impressions = delta.read(spark, settings, "impressions", days, staged=True).select("day", "user_id", "ad_id")
    around = [landing_reader.day_before(days[0]), *days]
    ads = delta.read(spark, settings, "ads", around, staged=True).select("day", "ad_id")
    following = F.date_add(F.to_date("day"), 1).cast("string").alias("day")
    known = ads.union(ads.select(following, "ad_id")).distinct().withColumn("known", F.lit(1))
    users = delta.read(spark, settings, "users", days, staged=True).select("day", "user_id").distinct()
    joined = impressions.join(known, ["day", "ad_id"], "left").join(
        users.withColumn("profile", F.lit(1)), ["day", "user_id"], "left"
    )
    rows = joined.groupBy("day").agg(
        F.count("profile").alias("users"), F.count_if(F.col("known").isNull()).alias("unknown")
    )
    return {row["day"]: (row["users"], row["unknown"]) for row in rows.collect()}


def _repeated(spark: SparkSession, settings: Settings, name: str, key: str, days: Sequence[str]) -> dict[str, int]:
    frame = delta.read(spark, settings, name, days, staged=True)
    rows = frame.groupBy("day").agg((F.count(F.lit(1)) - F.count_distinct(key)).alias("n")).collect()
    return {row["day"]: row["n"] for row in rows}
