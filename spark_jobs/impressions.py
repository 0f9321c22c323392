"""Stage 1: landing files -> staged tables, with labels (DESIGN, rule 1) and everything refused in quarantine.

A run over [s, e) ingests its folders, and writes again what they change elsewhere: labels of the built days
[s - lateness, s), and the quarantined clicks of the ingested folders [e, e + lateness) that were waiting for a day.
The staged impressions are written last: a day is ingested once its partition is there.

Runs of days near each other depend on each other's folders. Two at once, on whatever machines, do not mix: one of them
finds that what it read has changed (spark_jobs.seen) and is to be run again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial, reduce

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts import erasures, paths, rules, suite_files
from contracts.commits import JUDGED_AGAIN, Cause, late_clicks
from contracts.days import Days
from contracts.report import StageReport
from contracts.settings import Settings
from contracts.tables import LANDING, STAGED, TABLES
from spark_jobs import cleaning, delta, forgotten, labels, landing_reader, pictures, quarantine, released
from spark_jobs.caching import cached
from spark_jobs.cleaning import COPY, kept
from spark_jobs.landing_columns import check_file
from spark_jobs.landing_reader import RAW, REASON
from spark_jobs.seen import Seen
from spark_jobs.slices import Slices, sized
from spark_jobs.small_frames import small_frame

STAGE = "1-impressions"
CLICK_COLUMNS = ("impression_id", "clicked_at", "landed_at")
# A run's writes go in a few at a time: most of a small write is waiting for Delta's log.
WRITERS = 3
SMALL_CATALOGUES = 1_000_000  # ads of all the run's days together that are broadcast: some 50 MB on each executor
FEW_CLICKS = 1_000_000  # clicks of the run and around it that are broadcast: some 150 MB on each executor
FEW_ROWS = 1_000_000  # landed rows that are cached
STAGED_AS_THEY_ARE = ("users", "behaviours", "clicks")
# What a run reads that others write: a run whose days lie in this one's reach writes its own into them.
READ = (*(f"{STAGED}/{name}" for name in ("impressions", "clicks", "quarantine")), released.TABLE, erasures.TABLE)
OLD = "_old"
Landed = dict[str, dict[str, int]]  # landing file -> day -> rows


def stays() -> SparkColumn:
    return F.col(REASON).isNull() & ~F.col(COPY)


@dataclass(frozen=True)
class Scope:
    """Which days a run touches (day texts, sorted). `built`: ingested by then, this run included."""

    run: list[str]
    built: list[str]
    relabelled: list[str]  # built days before the run whose labels its clicks may change
    rejudged: list[str]  # ingested folders after the run, some of whose clicks may have waited for it
    early: list[str]  # folders not ingested: of them only what had landed before the run of the day before
    first: str  # the first landing folder


def scope(settings: Settings, days: Days) -> Scope:
    run = days.texts()
    lateness = settings.lateness_days
    before = delta.built_days(settings, "impressions", staged=True)
    built = sorted(before | set(run))
    reach = days.widened(before=lateness, after=lateness)
    relabelled = [day for day in built if reach.start.isoformat() <= day < run[0]]
    rejudged = [day for day in built if run[-1] < day < reach.end.isoformat()]
    landed = landing_reader.landed_days(settings.landing_path)
    following = {landing_reader.day_after(day) for day in (*relabelled, *run)}
    early = sorted((following - set(built)) & set(landed))
    return Scope(run, built, relabelled, rejudged, early, landed[0])


def run(spark: SparkSession, settings: Settings, days: Days) -> StageReport:
    """Ingest the folders of `days`. Raises InputError when one cannot be taken as it is, and DamagedArtifact, which is
    tried again, when one has landed again or another run has written what this one read."""
    landing = settings.landing_path
    absent = landing_reader.check_days(landing, days)
    reach = max(settings.lateness_days, 1)  # the catalogue of the day before, early clicks of the day after
    seen = Seen(settings, days.widened(before=reach, after=reach), *READ)
    s = scope(settings, days)
    before = landing_reader.day_before(s.run[0])
    beside = [(day, "clicks") for day in s.early] + [(before, "ads")] * _landed(settings, before)
    for day, name in beside:
        check_file(landing_reader.find_file(landing, day, name), name)
    read = [(day, name) for day in s.run for name in LANDING] + beside
    landed = landing_reader.stamps(landing_reader.find_file(landing, day, name) for day, name in read)
    with ExitStack() as until:
        report = _ingest(spark, settings, days, s, seen, until)
    seen.check()
    landing_reader.check_unchanged(landed)
    return report.model_copy(update={"remarks": [*report.remarks, *absent]})


def _landed(settings: Settings, day: str) -> bool:
    return (settings.landing_path / f"day={day}").is_dir()


def _ingest(spark: SparkSession, settings: Settings, days: Days, s: Scope, seen: Seen, until: ExitStack) -> StageReport:
    suites = suite_files.load(settings.landing_path)
    landed = {name: landing_reader.rows_in_files(settings.landing_path, name, s.run) for name in LANDING}
    rows = sum(sum(of_days.values()) for of_days in landed.values())
    until.enter_context(sized(spark, rows))
    raw = {name: released.read(spark, settings, name, s.run) for name in LANDING}
    cleaning.check_sql(raw, suites)
    raw, erased = forgotten.parted(spark, settings, raw, days)
    repeats = cleaning.Repeats.of(raw, until)
    cleaned = {
        name: cleaning.judged(raw[name], Slices.of_rows(landed[name]), suites[name], settings, repeats)
        for name in LANDING
    }
    cleaned["ads"] = cached(cleaned["ads"], until)
    ads, bad_pictures = _usable(spark, settings, kept(cleaned["ads"], "ads"), until)
    clicks = cached(_clicks(spark, settings, suites["clicks"], s, cleaned["clicks"]), until)
    known = _catalogues(spark, settings, suites["ads"], s.run, cleaned["ads"])
    small = sum(landed["ads"].values()) <= SMALL_CATALOGUES
    cleaned["impressions"] = cleaning.with_known(cleaned["impressions"], known, small)
    dealt = clicks.count() > FEW_CLICKS or not small
    impressions = _with_clicks(spark, settings, s, cleaned["impressions"], landed, clicks, dealt)
    shuffled = dealt or not repeats.few
    if rows <= FEW_ROWS or shuffled:  # reading the files twice is cheaper than a cache of them, a shuffle is not
        cleaned |= {name: cached(cleaned[name], until) for name in STAGED_AS_THEY_ARE}
        impressions = cached(impressions, until)
    labelled = labels.labelled(impressions.where(stays() & F.col("day").isin(s.relabelled + s.run)))
    labelled = labelled.select(*(one.name for one in TABLES["impressions"].columns))

    # Of the impressions, what this run has more to say of than a label: few, and asked for several times.
    noted = cached(impressions.where(~stays() | F.col("clicks").isNotNull()), until)
    clicked = noted.where("clicks IS NOT NULL")
    refused = {name: cached(frame.where(~stays()), until) for name, frame in cleaned.items() if name != "impressions"}
    refused["impressions"] = noted.where(~stays())
    judged = clicks.where(F.col("folder").isin(s.run + s.rejudged))
    misfits = quarantine.misfit_clicks(labels.misfits(judged, clicked, s.built, s.first, settings))
    set_aside = [quarantine.malformed(frame, suites[name]) for name, frame in refused.items()]
    if s.rejudged:
        there = delta.read(spark, settings, "quarantine", s.rejudged, staged=True)
        set_aside.append(there.where(~((F.col("source") == "clicks") & F.col("reason").isin(*labels.CLICK_REASONS))))
    slices = Slices.of_rows({day: landed["impressions"].get(day, 0) // 100 for day in (*s.run, *s.rejudged)})
    aside = quarantine.all_of(slices, *set_aside, bad_pictures, misfits)

    cause = Cause(STAGE, days, "folder ingested", late_clicks(days), JUDGED_AGAIN, seen.by)
    write = partial(delta.write_days, spark, settings, staged=True, kept=True, cause=cause)
    with ThreadPoolExecutor(WRITERS) as pool:
        jobs = {
            "ads": pool.submit(write, "ads", ads, s.run),
            **{name: pool.submit(write, name, kept(cleaned[name], name), s.run) for name in STAGED_AS_THEY_ARE},
            "quarantine": pool.submit(write, "quarantine", aside, s.run + s.rejudged, seen=seen),
        }
        results = {name: job.result() for name, job in jobs.items()}
    results["impressions"] = write("impressions", labelled, s.relabelled + s.run, seen=seen)
    said = _report(spark, settings, s, refused, clicked, results)
    return said.model_copy(update={"counts": said.counts | forgotten.counts(erased)}) if erased else said


def _catalogues(
    spark: SparkSession, settings: Settings, suite: rules.Suite, days: list[str], own: DataFrame
) -> DataFrame:
    """The ads of the days and, where it landed, of the day before the first."""
    landing, before = settings.landing_path, landing_reader.day_before(days[0])
    if not _landed(settings, before):
        return kept(own, "ads")
    slices = Slices.of_rows(landing_reader.rows_in_files(landing, "ads", [before]))
    old = cleaning.judged(released.read(spark, settings, "ads", [before]), slices, suite, settings)
    return kept(own, "ads").unionByName(kept(old, "ads"))


def _usable(
    spark: SparkSession, settings: Settings, ads: DataFrame, until: ExitStack
) -> tuple[DataFrame, DataFrame]:
    """The catalogues with `image` null where the picture cannot be used, and the quarantine rows that say so."""
    unusable = pictures.unusable(spark, paths.images(settings), ads, until)
    if unusable is None:
        return ads, small_frame(spark, [], quarantine.SCHEMA)
    found = cached(ads.join(unusable, "image", "left"), until)
    cleared = found.withColumn("image", F.when(F.col(REASON).isNull(), F.col("image")))
    return cleared.select(*ads.columns), quarantine.pictures(found)


def _clicks(spark: SparkSession, settings: Settings, suite: rules.Suite, s: Scope, own: DataFrame) -> DataFrame:
    """Clicks that this run may need: `folder`, CLICK_COLUMNS, `early`."""

    def shaped(frame: DataFrame, early: bool) -> DataFrame:
        return frame.select(F.col("day").alias("folder"), *CLICK_COLUMNS, F.lit(early).alias("early"))

    parts = [shaped(kept(own, "clicks"), False)]
    first = s.relabelled[0] if s.relabelled else s.run[0]
    last = s.rejudged[-1] if s.rejudged else s.run[-1]
    ingested = [day for day in s.built if first <= day <= last and day not in s.run]
    if ingested:
        parts.append(shaped(delta.read(spark, settings, "clicks", ingested, staged=True), False))
    if s.early:
        raw = released.read(spark, settings, "clicks", s.early)
        slices = Slices.of_rows(landing_reader.rows_in_files(settings.landing_path, "clicks", s.early))
        parts.append(shaped(kept(cleaning.judged(raw, slices, suite, settings), "clicks"), True))
    return reduce(DataFrame.unionByName, parts)


def _with_clicks(
    spark: SparkSession, settings: Settings, s: Scope, own: DataFrame, landed: Landed, clicks: DataFrame, dealt: bool
) -> DataFrame:
    """The run's impressions, judged, and those of the built days (`_old`) that its clicks or the rejudged folders' may
    belong to; `clicks` beside each that stays."""
    frame = own.withColumn(OLD, F.lit(False))
    around = [day for day in (*s.relabelled, *s.rejudged) if day not in s.run]
    if around:
        old = delta.read(spark, settings, "impressions", around, staged=True)
        nothing, no = F.lit(None).cast("string"), F.lit(False)
        old = old.withColumns({OLD: F.lit(True), REASON: nothing, RAW: nothing, COPY: no})
        frame = frame.unionByName(old.select(*frame.columns))
    slices = None
    if dealt:
        there = dict.fromkeys(around, 0) | delta.row_counts(settings, "impressions", around, staged=True)
        slices = Slices.of_rows(landed["impressions"] | there)
    frame = labels.with_clicks(frame, clicks, slices, settings)
    return frame.withColumn("clicks", F.when(stays(), F.col("clicks")))


def _report(
    spark: SparkSession,
    settings: Settings,
    s: Scope,
    refused: dict[str, DataFrame],
    clicked: DataFrame,
    results: dict[str, delta.WriteResult],
) -> StageReport:
    """Every figure in two small queries: one on what was refused and clicked, one on what was set aside."""
    valid = F.size(F.filter("clicks", lambda one: one["valid"]))
    further = clicked.where(~F.col(OLD)).select((valid - 1).cast("long").alias("n")).where("n > 0")
    parts = [further.select(F.lit("further_clicks").alias("what"), "n")]
    for name, frame in refused.items():
        what = F.when(F.col(COPY), F.lit(f"copies_{name}")).otherwise(F.lit(f"refused_{name}"))
        parts.append(frame.select(what.alias("what"), F.lit(1).cast("long").alias("n")))
    sums = reduce(DataFrame.union, parts).groupBy("what").agg(F.sum("n").alias("n")).collect()
    counts: dict[str, int] = {row["what"]: row["n"] for row in sums}
    stayed = {name: sum(results[name].day_rows.get(day, 0) for day in s.run) for name in refused}
    for name, rows in stayed.items():
        counts[f"landed_{name}"] = rows + counts.get(f"copies_{name}", 0) + counts.pop(f"refused_{name}", 0)
    there = delta.read(spark, settings, "quarantine", s.run, staged=True)
    aside = there.groupBy("source", "reason").agg(F.sum(quarantine.times()).alias("n")).collect()
    reasons = {f"{row['source']}: {row['reason']}": row["n"] for row in aside}
    older = [day for day in results["impressions"].changed_days if day < s.run[0]]
    return StageReport(
        stage=STAGE,
        day=s.run[-1],
        seconds=0.0,
        rows_in=counts["landed_impressions"],
        rows_out=stayed["impressions"],
        set_aside=sum(reasons.values()),
        versions={f"staged/{name}": result.version for name, result in results.items()},
        counts={name: n for name, n in sorted(counts.items()) if n} | dict(sorted(reasons.items())),
        remarks=[f"late clicks changed the labels of {', '.join(older)}"] if older else [],
    )
