"""Stage 2: write, audit, publish. Nobody reads a day that Great Expectations has not passed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial

from pyspark.sql import SparkSession

from contracts import rules, suite_files
from contracts.commits import JUDGED_AGAIN, Cause, late_clicks
from contracts.days import Days
from contracts.errors import MissingArtifact, QualityStop
from contracts.report import StageReport
from contracts.settings import Settings
from contracts.tables import LANDING, STAGED
from spark_jobs import delta, figure_table, figures, landing_reader, measures, unaudited
from spark_jobs.audit import Auditor, Failure
from spark_jobs.audit_words import stops, warnings
from spark_jobs.figures import Known
from spark_jobs.impressions import WRITERS
from spark_jobs.seen import Seen
from spark_jobs.slices import sized

STAGE = "2-quality"
LOGS = ("ads", "users", "behaviours", "clicks")  # tables by landing folder
READ = (*LANDING, "quarantine")  # staged


@dataclass(frozen=True)
class Scope:
    """Day texts, sorted: the run's; published days before it whose labels it may have changed; published days after it
    whose set-aside clicks it may have changed. `waiting`: such days that must stay as they are published -> the folder
    whose audit they wait for."""

    run: list[str]
    older: list[str]
    newer: list[str]
    waiting: dict[str, str]


@dataclass(frozen=True)
class Judged:
    """`known`: figures of the run's days and of all around them that bear on each other; `touched`: the days whose
    figures the run may change; `misses`: what Great Expectations found to be broken of level warn."""

    known: Known
    touched: list[str]
    auditor: Auditor
    counts: measures.Counts
    misses: list[Failure]


def run(spark: SparkSession, settings: Settings, days: Days) -> StageReport:
    """Audit the staged days and publish them. Raises QualityStop for the first day that fails; the days before it are
    published, it and the days after it are not. Raises DamagedArtifact, which is tried again, when another run has
    staged or published rows beside it that bear on these days."""
    read = [*(f"{STAGED}/{name}" for name in READ), "impressions"]
    seen = Seen(settings, days.widened(before=figures.REACH, after=figures.REACH), *read)
    staged = delta.built_days(settings, "ads", staged=True) | delta.built_days(settings, "quarantine", staged=True)
    missing = [day for day in days.texts() if day not in staged]
    if missing:
        wanted = f"adlens impressions --start {missing[0]}"
        raise MissingArtifact(f"{', '.join(missing)} not staged; run stage 1 first: {wanted}")
    suites = suite_files.load(settings.landing_path)
    scope = _scope(spark, settings, days)
    with ThreadPoolExecutor(1) as pool:  # Great Expectations takes seconds to import, while Spark counts
        opened = pool.submit(Auditor, settings, suites)
        counts = _counts(spark, settings, scope, suites)
        auditor = opened.result()
    known, touched = _figures(settings, scope, counts, suites)
    failures = auditor.audit(days.texts(), known)
    judged = Judged(known, touched, auditor, counts, [one for one in failures if one.level == "warn"])
    bad = _first_failing(auditor, days, known) if _stops(failures) else None
    if bad is not None:
        failures = auditor.audit([bad.isoformat()], known)
    with ThreadPoolExecutor(1) as pool:  # Data Docs' pages are made while Spark writes
        docs = pool.submit(auditor.write_docs)
        if bad is None:
            report = _publish(spark, settings, scope, judged, seen.by)
        else:
            if bad > days.start:
                _publish(spark, settings, _scope(spark, settings, Days(days.start, bad)), judged, seen.by)
            figure_table.write(spark, settings, {bad.isoformat(): known[bad.isoformat()]})
        docs.result()
    seen.check()
    if bad is None:
        return report
    raise QualityStop(_message(bad.isoformat(), failures, judged))


def _scope(spark: SparkSession, settings: Settings, days: Days) -> Scope:
    texts = days.texts()
    published = delta.built_days(settings, "impressions")
    # The day after counts in any case: its impressions may be of ads that only the run's last catalogue knows.
    reach = days.widened(before=settings.lateness_days, after=max(settings.lateness_days, 1))
    older = sorted(day for day in published if reach.start.isoformat() <= day < texts[0])
    newer = sorted(day for day in published if texts[-1] < day < reach.end.isoformat())
    waiting = unaudited.waiting(spark, settings, texts, older, newer)
    older, newer = ([day for day in some if day not in waiting] for some in (older, newer))
    return Scope(texts, older, newer, waiting)


def _counts(spark: SparkSession, settings: Settings, scope: Scope, suites: dict[str, rules.Suite]) -> measures.Counts:
    days = scope.run + scope.newer
    read = partial(delta.read, spark, settings, staged=True)
    frames = {name: read(name, days) for name in READ}
    frames["impressions"] = read("impressions", scope.older + days)
    before = {landing_reader.day_before(day) for day in days}
    frames["ads"] = read("ads", sorted(before | set(days)))
    rows = sum(delta.row_counts(settings, "impressions", days, staged=True).values())
    with sized(spark, rows):  # nothing is cached: each count reads the few columns that it needs
        return measures.counted(frames, suites, settings, days)


def _figures(
    settings: Settings, scope: Scope, counts: measures.Counts, suites: dict[str, rules.Suite]
) -> tuple[Known, list[str]]:
    """The figures of every day that bears on the run's or that it bears on, and which of them it may change: those of
    its own days, and bounds and drifts of the published days after a changed one."""
    published = delta.built_days(settings, "impressions")
    first, last = (scope.older or scope.run)[0], (scope.newer or scope.run)[-1]
    around = Days.parse(first, landing_reader.day_after(last)).widened(before=figures.REACH, after=figures.REACH)
    known = figure_table.read(settings, [day for day in around.texts() if day in published])
    for day in scope.older:
        if day in known:
            known[day] = figures.relabelled(known[day], counts.get(day, {}))
    for day in scope.run + scope.newer:
        known[day] = {one.figure: one for one in figures.measured(day, counts[day], suites, settings)}
    touched = [day for day in sorted(known) if day >= first]
    return known | figures.judged(known, touched, suites, settings), touched


def _stops(failures: list[Failure]) -> bool:
    return any(one.level == "stop" for one in failures)


def _first_failing(auditor: Auditor, days: Days, known: Known) -> date:
    """By halving: every expectation is one on single days, so a prefix passes if all its days do."""
    good, bad = days.start, days.end  # [start, good) passes, [start, bad) does not
    while (bad - good).days > 1:
        middle = good + (bad - good) // 2
        if _stops(auditor.audit(Days(good, middle).texts(), known)):
            bad = middle
        else:
            good = middle
    return good


def _publish(spark: SparkSession, settings: Settings, scope: Scope, judged: Judged, by: str) -> StageReport:
    """Staged rows -> the tables that others read: these days, and the published ones that stage 1 wrote again."""

    run = Days.parse(scope.run[0], landing_reader.day_after(scope.run[-1]))
    cause = Cause(STAGE, run, "audited and published", late_clicks(run), JUDGED_AGAIN, by)

    def publish(name: str, which: list[str]) -> delta.WriteResult:
        staged = delta.read(spark, settings, name, which, staged=True)
        return delta.write_days(spark, settings, name, staged, which, kept=True, cause=cause)

    end = scope.run[-1]
    published = delta.built_days(settings, "impressions")
    touched = {day: judged.known[day] for day in judged.touched if day <= end or day in published}
    with ThreadPoolExecutor(WRITERS) as pool:
        jobs = {name: pool.submit(partial(publish, name, scope.run)) for name in LOGS}
        jobs["quarantine"] = pool.submit(partial(publish, "quarantine", scope.run + scope.newer))
        jobs[figure_table.NAME] = pool.submit(partial(figure_table.write, spark, settings, touched))
        results = {name: job.result() for name, job in jobs.items()}
    results["impressions"] = publish("impressions", scope.older + scope.run)  # last: its partition says that it is out
    rewritten = [day for day in results["impressions"].changed_days if day < scope.run[0]]
    rows = sum(judged.counts[day].get(("rows", 0), 0) for day in scope.run)
    last = judged.known[end]
    remarks = [f"late clicks changed the labels of {', '.join(rewritten)}; stage 4 writes their groups again"]
    return StageReport(
        stage=STAGE,
        day=end,
        seconds=0.0,
        rows_in=rows,
        rows_out=rows,
        versions={name: result.version for name, result in results.items()},
        counts={"days": len(scope.run), "rewritten_days": len(rewritten), "warnings": len(judged.misses)},
        remarks=[
            *(remarks if rewritten else []),
            *unaudited.said(scope.waiting),
            f"CTR {last['ctr'].value:.4f}, {last['quarantined_share'].value:.2%} of rows set aside on {end}",
            *(f"warning: {sentence}" for sentence in warnings(scope.run, judged.known, judged.misses)),
            f"Data Docs: {judged.auditor.docs}",
        ],
    )


def _message(day: str, failures: list[Failure], judged: Judged) -> str:
    prefix = "aside "
    aside = [(n, what.removeprefix(prefix)) for (what, _), n in judged.counts[day].items() if what.startswith(prefix)]
    reasons = "; ".join(f"{count} {which}" for count, which in sorted(aside, reverse=True)[:3]) or "none"
    return (
        f"the audit refused {day}, nothing of it is published. {stops(failures, judged.known[day])}. "
        f"Most rows set aside: {reasons}. Data Docs: {judged.auditor.docs}"
    )
