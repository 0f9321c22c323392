"""Stage 3: the snapshots S(X) of users and ads, each a pure function of what landed in folders up to X.

S(X) reads catalogue and profiles of folder X, and of the folders of the look-back (7: X-6 ... X) the impressions, the
clicks by the folder they LANDED in (`impressions.label` knows of later ones), and the behaviours before its stamp. The
declared transforms say what is made; what no built feature needs is not read. Then the snapshots are audited.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.commits import LOOKED_BACK, Cause
from contracts.days import Days, day_start
from contracts.errors import MissingArtifact
from contracts.feature import Feature
from contracts.features import built, lookback
from contracts.report import StageReport
from contracts.settings import Settings
from spark_jobs import delta, history
from spark_jobs.caching import cached
from spark_jobs.derived_audit import OF_SNAPSHOTS, Audit
from spark_jobs.expressions import landed_value
from spark_jobs.slices import SLICE, Slices, sized
from spark_jobs.small_frames import small_frame

STAGE = "3-features"
FEW = 1_000_000  # clicks of the look-back, or ads of all the days, that are broadcast: some 100 MB on each executor
CENTS = "decimal(20,4)"  # prices are summed exactly, so that no order of rows changes a mean


@dataclass(frozen=True)
class Landed:
    """What the snapshots of `days` are made of, of the whole look-back of `folders`. `files`: by side; `shown`:
    impressions; `clicked`: history.first_clicks of them; `acts`: history.acts; `few_ads`: they may be broadcast."""

    days: Days
    folders: int
    stamped: DataFrame
    files: dict[str, DataFrame]
    shown: DataFrame
    clicked: DataFrame
    acts: DataFrame
    few_ads: bool


def stamps(spark: SparkSession, days: Days, settings: Settings) -> DataFrame:
    """day, event_timestamp (end of the day in the business time zone), created (when serving may know it)."""
    delay = timedelta(minutes=settings.publication_delay_minutes)
    ends = [(day, day_start(day + timedelta(days=1), settings.time_zone)) for day in days]
    rows = [(day.isoformat(), stamp, stamp + delay) for day, stamp in ends]
    return small_frame(spark, rows, "day string, event_timestamp timestamp, created timestamp")


def ad_features(landed: Landed, features: Sequence[Feature], until: ExitStack) -> DataFrame:
    """Table `ad_features`: a row per ad of the day's catalogue, and the values of all features of side `ad`."""
    own = [feature for feature in features if feature.side == "ad"]
    counted = history.acted(_by_how(own, "acted"))
    acts = [landed.acts.groupBy("day", "ad_id").agg(*_named(counted))] if counted else []
    rows = _with_groups(_looked_back(landed, "ad", own, acts), own, until)
    return rows.withColumns({feature.name: _value(feature, "ad_id") for feature in own})


def user_features(landed: Landed, features: Sequence[Feature]) -> DataFrame:
    """Table `user_features`: a row per profile of the day, and the values of all features of side `user`."""
    own = [feature for feature in features if feature.side == "user"]
    counted, lists = history.acted(_by_how(own, "acted")), _by_how(own, "recent")
    acts = []
    if counted or lists:
        placed, of = landed.acts, sorted({feature.transform.of for feature in lists} - {"ad_id"})
        if of:
            ads = landed.files["ad"].select("day", "ad_id", *of)
            placed = placed.join(F.broadcast(ads) if landed.few_ads else ads, ["day", "ad_id"], "left")
        newest = [history.newest(lists)] if lists else []
        acts.append(placed.groupBy("day", "user_id").agg(*_named(counted), *newest))
    rows = _looked_back(landed, "user", own, acts)
    return rows.withColumns({feature.name: _value(feature, "user_id") for feature in own})


def _looked_back(landed: Landed, side: str, features: Sequence[Feature], parts: list[DataFrame]) -> DataFrame:
    """The side's files of the days, stamped, beside what the look-back says; `parts`: of the behaviours."""
    entity, lasts = f"{side}_id", _lasts(features)
    if "shown" in lasts:
        clicks = history.clicked_by(landed.clicked, entity, landed.days, landed.folders, lasts["shown"])
        parts = [*parts, history.shown(landed.shown, entity), clicks]
    files = landed.files[side]
    if "listed" not in lasts:
        files = files.where(F.col("day").isin(landed.days.texts()))
    if lasts:
        files = history.looked_back(files, entity, parts, landed.days, lasts)
    return files.join(F.broadcast(landed.stamped), "day")


def _lasts(features: Sequence[Feature]) -> dict[str, set[int]]:
    """Column that is counted over folders -> over how many."""
    columns = {"ctr": "shown", "listed": "listed", "recent": history.ACTS}
    found: dict[str, set[int]] = {}
    for feature in features:
        made = feature.transform
        name = f"acted_{made.behaviour}" if made.how == "acted" else columns.get(made.how)
        if name:
            found.setdefault(name, set()).add(made.folders)
    return found


def _named(columns: Mapping[str, SparkColumn]) -> list[SparkColumn]:
    return [column.alias(name) for name, column in columns.items()]


def _by_how(features: Sequence[Feature], how: str) -> list[Feature]:
    return [feature for feature in features if feature.transform.how == how]


def _value(feature: Feature, entity: str) -> SparkColumn:
    """A feature's value from the columns that the joins left."""
    made, last = feature.transform, feature.transform.folders
    if made.how == "ctr":
        of = "" if made.of == entity else f"{made.of}_"
        return history.smoothed_ctr(f"{of}shown_{last}", f"{of}clicked_{last}")
    if made.how == "group_size":
        return F.col(f"{made.of}_ads").cast("double")
    if made.how == "over_mean":
        mean = F.col(f"{made.of}_sum").cast("double") / F.col(f"{made.of}_priced")
        return F.when(F.col(f"{made.of}_sum") > 0, F.col("price") / mean)
    if made.how == "listed":
        return F.col(f"listed_{last}").cast("double")
    if made.how == "acted":
        return F.col(f"acted_{made.behaviour}_{last}").cast("double")
    return history.recent(feature) if made.how == "recent" else landed_value(feature)


def _with_groups(rows: DataFrame, features: Sequence[Feature], until: ExitStack) -> DataFrame:
    """Of an ad's category, brand and shop in the catalogue: <key>_ads, _sum and _priced, _shown_n and _clicked_n."""
    grouped = [feature for how in ("group_size", "over_mean", "ctr") for feature in _by_how(features, how)]
    wanted = [feature for feature in grouped if feature.transform.of != "ad_id"]
    if not wanted:
        return rows
    rows = cached(rows, until)  # each of the joins below reads it twice
    found = rows
    for key in sorted({feature.transform.of for feature in wanted}):
        price = F.col("price").try_cast(CENTS)
        sums = [F.count(F.lit(1)).alias(f"{key}_ads")]
        if any(f.transform.how == "over_mean" and f.transform.of == key for f in wanted):
            sums += [F.sum(price).alias(f"{key}_sum"), F.count(price).alias(f"{key}_priced")]
        for last in sorted({f.transform.folders for f in wanted if f.transform.how == "ctr" and f.transform.of == key}):
            sums += [F.sum(f"{what}_{last}").alias(f"{key}_{what}_{last}") for what in ("shown", "clicked")]
        totals = rows.where(F.col(key).isNotNull()).groupBy("day", key).agg(*sums)
        found = found.join(totals, ["day", key], "left")
    return found


def run(spark: SparkSession, settings: Settings, days: Days) -> StageReport:
    """Write the snapshots of every day of the interval, and again those after it that look back on it: in a repair,
    they may have been made before these days were there. Raises MissingArtifact for a day that was not published, and
    QualityStop where the audit stops a snapshot that it has made: that stays, and nobody builds on it."""
    began = time.monotonic()
    for table in ("impressions", "ads", "users"):
        absent = sorted(set(days.texts()) - delta.built_days(settings, table))
        if absent:
            raise MissingArtifact(
                f"table {table} holds no row of {', '.join(absent)}; run impressions and quality for the day first"
            )
    features, asked = built(settings), days
    remarks = []
    last = max([days.end - timedelta(days=1), *_looking_back(settings, days, lookback(features))])
    if last >= days.end:
        days = Days(days.start, last + timedelta(days=1))
        remarks.append(f"made again up to {last}: these snapshots look back on the days")
    wanted = sorted(set(days.texts()) & delta.built_days(settings, "ads"))
    rows_in = sum(delta.row_counts(settings, "impressions", _window(days, features)).values())
    cause = Cause(STAGE, asked, "snapshot made", after=LOOKED_BACK)
    with ExitStack() as until:
        audit = Audit(spark, settings, OF_SNAPSHOTS, until)
        until.enter_context(sized(spark, rows_in))
        landed = _landed(spark, settings, days, features, until)
        # `ad_features` last: whether a snapshot is there is asked of it alone (contracts.history).
        made = {"user": user_features(landed, features), "ad": ad_features(landed, features, until)}
        written = {
            f"{side}_features": _written(spark, settings, side, frame, wanted, cause) for side, frame in made.items()
        }
        version, said = audit.judge(cause, wanted)
    return StageReport(
        stage=STAGE,
        day=asked.texts()[-1],
        seconds=time.monotonic() - began,
        rows_in=rows_in,
        rows_out=sum(one.rows for one in written.values()),
        versions={name: one.version for name, one in written.items()} | {OF_SNAPSHOTS.figures: version},
        counts={name: one.rows for name, one in written.items()},
        remarks=[*remarks, *said],
    )


def _written(
    spark: SparkSession, settings: Settings, side: str, frame: DataFrame, days: Sequence[str], cause: Cause
) -> delta.WriteResult:
    slices = Slices.of_rows(delta.row_counts(settings, f"{side}s", days))
    table = f"{side}_features"
    dealt = slices.dealt(frame.select(*delta.declaration(table, settings).names()), f"{side}_id")
    return delta.write_days(spark, settings, table, dealt.drop(SLICE), days, cause=cause)


def _looking_back(settings: Settings, days: Days, folders: int) -> list[date]:
    """Days after the interval whose snapshots are there and count its last day."""
    if folders == 1:
        return []
    after = Days(days.end, days.end + timedelta(days=folders - 1))
    made = delta.built_days(settings, "ad_features") | delta.built_days(settings, "user_features")
    return [day for day in after if day.isoformat() in made]


def _window(days: Days, features: Sequence[Feature]) -> list[str]:
    return days.widened(before=lookback(features) - 1).texts()


def _landed(
    spark: SparkSession, settings: Settings, days: Days, features: Sequence[Feature], until: ExitStack
) -> Landed:
    folders = lookback(features)
    window = _window(days, features)
    impressions = delta.read(spark, settings, "impressions", window)
    # A valid click lands on its impression's day or later, and in no folder after the last snapshot's.
    clicks = _log(spark, settings, "clicks", window)
    few = sum(delta.row_counts(settings, "clicks", window).values()) <= FEW
    clicked = cached(history.first_clicks(impressions, clicks, few, settings), until)
    return Landed(
        days=days,
        folders=folders,
        stamped=stamps(spark, days, settings),
        files={side: delta.read(spark, settings, f"{side}s", window) for side in ("ad", "user")},
        shown=impressions,
        clicked=clicked,
        acts=history.acts(_log(spark, settings, "behaviours", window), settings),
        few_ads=sum(delta.row_counts(settings, "ads", window).values()) <= FEW,
    )


def _log(spark: SparkSession, settings: Settings, name: str, days: list[str]) -> DataFrame:
    """A log of the folders; an empty one where nothing ever landed (an empty clicks file is no fault)."""
    if delta.exists(settings, name):
        return delta.read(spark, settings, name, days)
    return small_frame(spark, [], delta.declaration(name).ddl.replace(" NOT NULL", ""))
