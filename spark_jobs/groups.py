"""Stage 4: a day's impressions joined point-in-time with the snapshot before them -> `user_groups`, `ad_groups`.

A group holds its own side's features once, so they are joined to groups and not to impressions; the other side's and
the context's lie beside each impression. One shuffle of the impressions by their ad and one by their user do it all
(spark_jobs.slices); where a side's snapshots are small, they are broadcast and there is only the grouping's shuffle.
Then the groups are audited.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.commits import LOOKED_BACK, Cause
from contracts.days import Days
from contracts.errors import MissingArtifact, QualityStop
from contracts.features import Feature, built, lookback
from contracts.report import StageReport
from contracts.settings import Settings
from contracts.verdicts import SNAPSHOT_FIGURES, refuse_unjudged
from spark_jobs import delta, grouping, point_in_time, relabelled, skew
from spark_jobs.caching import cached
from spark_jobs.derived_audit import OF_GROUPS, Audit
from spark_jobs.expressions import code, code_columns, context_values
from spark_jobs.landing_reader import day_after
from spark_jobs.point_in_time import KEYS, Moment
from spark_jobs.seen import Seen
from spark_jobs.slices import SLICE, Slices, sized

STAGE = "4-groups"
RELABELLED = "late clicks changed labels since the day was grouped"
LOGGED = ("impression_id", "shown_at", "position", "label")
SMALL_SIDE = 200_000  # rows of a side's snapshots that are broadcast: some 50 MB on each executor
OTHER = {"ad": "user", "user": "ad"}


@dataclass(frozen=True)
class Written:
    """`figures`: the version of their table; `remarks`: the audit's."""

    ads: delta.WriteResult
    users: delta.WriteResult
    figures: int
    remarks: list[str]

    @property
    def versions(self) -> dict[str, int]:
        return {"ad_groups": self.ads.version, "user_groups": self.users.version, OF_GROUPS.figures: self.figures}


@dataclass(frozen=True)
class Sources:
    """What both groupings are made from. `sides`, `heavy`: by side; `small`: the sides that are broadcast."""

    features: tuple[Feature, ...]
    shown: DataFrame  # impressions with `seen` and the context's codes
    sides: dict[str, DataFrame]  # day, seen, <key>, codes: what was known of each entity at each moment
    heavy: dict[str, DataFrame | None]  # spark_jobs.skew.heavy_keys; None: no day is large enough for one
    small: set[str]
    slices: Slices


def sources(spark: SparkSession, settings: Settings, days: Sequence[str], until: ExitStack) -> Sources:
    """Of the impressions of `days`, each of which has a snapshot before it."""
    features = built(settings)
    at = point_in_time.moments(days, settings)
    rows = delta.row_counts(settings, "impressions", days)
    log = delta.read(spark, settings, "impressions", days)
    shown = point_in_time.with_moment(spark, log, at).withColumns(
        context_values(F.col("shown_at"), F.col("query"), settings.time_zone)
    )
    shown = shown.select("day", "seen", *LOGGED, *KEYS.values(), *code_columns(features, "context"))
    snapshots = sorted({point_in_time.snapshot_day(one.moment, settings) for one in at})
    heavy: dict[str, DataFrame | None] = dict.fromkeys(KEYS)
    if max(rows.values()) > skew.HEAVY_ROWS:
        heavy = {side: cached(skew.heavy_keys(shown, key), until) for side, key in KEYS.items()}
    small = {
        side for side in KEYS
        if sum(delta.row_counts(settings, f"{side}_features", snapshots).values()) <= SMALL_SIDE
    }  # fmt: skip
    sides = {side: coded_side(spark, settings, features, side, at) for side in KEYS}
    return Sources(features, shown, sides, heavy, small, Slices.of_rows(rows))


def coded_side(
    spark: SparkSession, settings: Settings, features: Sequence[Feature], side: str, at: Sequence[Moment]
) -> DataFrame:
    """day, seen, <key>, c_<feature> of the side (and the ad's image), of all entities that are known at the moments."""
    key = KEYS[side]
    own = [f for f in features if f.side == side and f.name != key]
    beside = ["image"] if side == "ad" else []
    seen = point_in_time.visible(spark, settings, side, at, [f.name for f in own] + beside)
    return seen.select("day", "seen", key, *beside, *code_columns(own, side))


def groups(of: Sources, side: str, settings: Settings) -> DataFrame:
    """The side's group table: as few groups as can be of at most the setting's size."""
    table = delta.declaration(f"{side}_groups", settings)
    key, other = KEYS[side], OTHER[side]
    inside = [name for column in table.columns for name in column.fields()]
    rule = grouping.by_ad(settings) if side == "ad" else grouping.by_user(settings)
    made = []
    for rows, heavy in _parts(of, side):
        inner = _with_key_code(of, _joined(of, rows, other), other)
        inner = inner.select("day", "seen", key, F.struct(*inside).alias("row"), *rule.beside)
        if heavy is None:
            listed = grouping.grouped(of.slices.dealt(inner, key), key, rule)
            outer = of.sides[side]
            outer = F.broadcast(outer) if side in of.small else of.slices.dealt(outer, key)
            on = ["day", "seen", key] if side in of.small else [SLICE, "day", "seen", key]
        else:
            listed = grouping.grouped_heavy(of.slices, inner, heavy, key, rule)
            few = of.sides[side].join(F.broadcast(heavy), ["day", "seen", key], "left_semi")
            outer, on = F.broadcast(few), ["day", "seen", key]
        made.append(_with_key_code(of, listed.join(outer, on, "left"), side).select(*table.names()))
    return made[0] if len(made) == 1 else made[0].unionByName(made[1])


def _parts(of: Sources, side: str) -> list[tuple[DataFrame, DataFrame | None]]:
    """The impressions, or those of heavy keys apart from the rest; beside each part its heavy keys."""
    heavy = of.heavy[side]
    if heavy is None:
        return [(of.shown, None)]
    key, known = ["day", "seen", KEYS[side]], F.broadcast(heavy)
    return [(of.shown.join(known, key, "left_anti"), None), (of.shown.join(known, key, "left_semi"), heavy)]


def _joined(of: Sources, rows: DataFrame, side: str) -> DataFrame:
    """Impressions with the side's codes; an entity that is not known has none."""
    key, known, heavy = KEYS[side], of.sides[side], of.heavy[side]
    if side in of.small:
        return rows.join(F.broadcast(known), ["day", "seen", key], "left")
    on = [SLICE, "day", "seen", key]
    if heavy is None:
        return of.slices.dealt(rows, key).join(of.slices.dealt(known, key), on, "left")
    anywhere = grouping.hashed_place(F.xxhash64("impression_id"))
    salted, copied = skew.salted(rows, heavy, key, anywhere), skew.copied(known, heavy, key)
    dealt = [of.slices.dealt(one, key, skew.SALT) for one in (salted, copied)]
    return dealt[0].join(dealt[1], [*on, skew.SALT], "left")


def _with_key_code(of: Sources, rows: DataFrame, side: str) -> DataFrame:
    """An entity that is not known keeps its id's code, where the id is a feature."""
    key = KEYS[side]
    return rows.withColumn(f"c_{key}", code(F.col(key))) if any(f.name == key for f in of.features) else rows


def run(spark: SparkSession, settings: Settings, days: Days) -> StageReport:
    """Write the groups of every day of the interval that has a snapshot before it, and again those of the days before
    it whose labels late clicks have changed since, and of the built days after it whose snapshots look back on it.

    Raises MissingArtifact for a day that was not published, or whose day before was but has no snapshot, and what
    `write` raises.
    """
    began = time.monotonic()
    wanted, remarks = _days_with_snapshot(settings, days)
    if not wanted:
        return StageReport(stage=STAGE, day=days.texts()[-1], seconds=time.monotonic() - began, remarks=remarks)
    stale = relabelled.days_to_rebuild(spark, settings, days)
    if stale:
        remarks.append(f"groups of {', '.join(stale)} written again: late clicks changed labels")
    # Sequential runs have none of these; in a repair, S(d) ... S(d+6) may have been made before day d was there.
    later = Days(days.end, days.end + timedelta(days=lookback(built(settings)))).texts()
    later = sorted(set(later) & delta.built_days(settings, "ad_groups"))
    touched = stale + wanted + later
    cause = Cause(STAGE, days, "impressions grouped", before=RELABELLED, after=LOOKED_BACK)
    written = write(spark, settings, touched, [*stale, *days.texts(), *later], cause, stale)
    rows_in = sum(delta.row_counts(settings, "impressions", touched).values())
    of_ads, of_users = written.ads.rows, written.users.rows
    fill = rows_in / of_ads / settings.ad_group_size
    return StageReport(
        stage=STAGE,
        day=days.texts()[-1],
        seconds=time.monotonic() - began,
        rows_in=rows_in,
        rows_out=of_ads + of_users,
        versions=written.versions,
        counts={"ad_groups": of_ads, "user_groups": of_users},
        remarks=[
            *remarks,
            f"ad groups are {fill:.0%} full: {rows_in / of_ads:.1f} impressions share a picture",
            *written.remarks,
        ],
    )


def write(
    spark: SparkSession, settings: Settings, wanted: list[str], days: list[str], cause: Cause, stale: Sequence[str]
) -> Written:
    """`ad_groups` and `user_groups` of `days` made equal to the groups of `wanted`, those of them that form any, and
    audited. `stale`: those that were written before and hold other labels.

    `ad_groups` last: whether a day's groups are there and hold the log's labels is asked of them alone, so that a run
    which was killed between the two is made up for. Raises QualityStop where the audit has stopped a snapshot that they
    see, or stops them.
    """
    seen = sorted({point_in_time.snapshot_day(one.moment, settings) for one in point_in_time.moments(wanted, settings)})
    refuse_unjudged(settings, SNAPSHOT_FIGURES, sorted(set(seen) & delta.built_days(settings, "ad_features")))
    rows = sum(delta.row_counts(settings, "impressions", wanted).values())
    log = Seen(settings, Days.parse(min(wanted), day_after(max(wanted))), "impressions")
    with ExitStack() as until:
        audit = Audit(spark, settings, OF_GROUPS, until)
        audit.forget(stale, cause)
        until.enter_context(sized(spark, rows))
        made = sources(spark, settings, wanted, until)
        of_users = delta.write_days(spark, settings, "user_groups", groups(made, "user", settings), days, cause=cause)
        of_ads = delta.write_days(spark, settings, "ad_groups", groups(made, "ad", settings), days, cause=cause)
        try:
            figures, remarks = audit.judge(cause, wanted, gone=sorted(set(days) - set(wanted)))
        except QualityStop:
            log.check()  # groups of a log that another run has changed meanwhile differ from it: worth another try
            raise
    return Written(of_ads, of_users, figures, remarks)


def _days_with_snapshot(settings: Settings, days: Days) -> tuple[list[str], list[str]]:
    """The days that can form groups, and a remark on the first folder's day, which cannot."""
    published = delta.built_days(settings, "impressions")
    absent = sorted(set(days.texts()) - published)
    if absent:
        raise MissingArtifact(
            f"table impressions holds no row of {', '.join(absent)}; run impressions and quality for the day first"
        )
    snapshots = delta.built_days(settings, "ad_features") & delta.built_days(settings, "user_features")
    wanted, remarks = [], []
    for day in days:
        before = (day - timedelta(days=1)).isoformat()
        if before in snapshots:
            wanted.append(day.isoformat())
        elif before in published or (settings.landing_path / f"day={before}").is_dir():
            raise MissingArtifact(f"no snapshot of {before}, which the impressions of {day} see; run features for it")
        else:
            remarks.append(f"{day} has no day before it: no snapshot, so it forms no groups")
    return wanted, remarks
