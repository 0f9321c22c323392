"""Stage 2: write, audit, publish. Nobody reads a day that Great Expectations has not passed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from functools import partial

from pyspark.sql import SparkSession

from contracts.days import Days
from contracts.errors import MissingArtifact, QualityStop
from contracts.report import StageReport
from contracts.settings import Settings
from spark_jobs import delta, figures, suites
from spark_jobs.audit import Auditor, Failure
from spark_jobs.figures import DayFigures
from spark_jobs.impressions import WRITERS

LOGS = ("ads", "users", "behaviours", "clicks")  # tables by landing folder


def run(spark: SparkSession, settings: Settings, days: Days) -> StageReport:
    """Audit the staged days and publish them. Raises QualityStop for the first day that fails; the days before it are
    published, it and the days after it are not."""
    staged = delta.built_days(settings, "ads", staged=True) | delta.built_days(settings, "quarantine", staged=True)
    missing = [day for day in days.texts() if day not in staged]
    if missing:
        wanted = f"adlens impressions --start {missing[0]}"
        raise MissingArtifact(f"{', '.join(missing)} not staged; run stage 1 first: {wanted}")
    found = figures.of_days(spark, settings, days)
    auditor = Auditor(settings)
    failures = _audit(spark, settings, auditor, days, found)
    if not failures:
        return _publish(spark, settings, days, found, auditor)
    bad = _first_failing(spark, settings, auditor, days, found)
    failures = _audit(spark, settings, auditor, Days(bad, bad + timedelta(days=1)), found) or failures
    if bad > days.start:
        _publish(spark, settings, Days(days.start, bad), found, auditor)
    raise QualityStop(_message(spark, settings, bad.isoformat(), failures, found, auditor))


def _audit(
    spark: SparkSession, settings: Settings, auditor: Auditor, days: Days, found: list[DayFigures]
) -> list[Failure]:
    texts = days.texts()
    impressions = delta.read(spark, settings, "impressions", texts, staged=True)
    rows = figures.audited_rows(impressions, settings).persist()
    try:
        of_days = figures.as_frame(spark, [one for one in found if one.day in texts])
        return auditor.audit(days, {suites.ROWS_SUITE: rows, suites.DAYS_SUITE: of_days})
    finally:
        rows.unpersist()


def _first_failing(
    spark: SparkSession, settings: Settings, auditor: Auditor, days: Days, found: list[DayFigures]
) -> date:
    """By halving: every expectation is one on single rows or single days, so a prefix passes if all its days do."""
    good, bad = days.start, days.end  # [start, good) passes, [start, bad) does not
    while (bad - good).days > 1:
        middle = good + (bad - good) // 2
        if _audit(spark, settings, auditor, Days(good, middle), found):
            bad = middle
        else:
            good = middle
    return good


def _publish(
    spark: SparkSession, settings: Settings, days: Days, found: list[DayFigures], auditor: Auditor
) -> StageReport:
    """Staged rows -> the tables that others read: these days, and the published ones that stage 1 wrote again."""
    texts = days.texts()
    published = delta.built_days(settings, "impressions")
    reach = days.widened(before=settings.lateness_days, after=settings.lateness_days)
    older = sorted(day for day in published if reach.start.isoformat() <= day < texts[0])
    newer = sorted(day for day in published if texts[-1] < day < reach.end.isoformat())

    def publish(name: str, which: list[str]) -> delta.WriteResult:
        return delta.write_days(
            spark, settings, name, delta.read(spark, settings, name, which, staged=True), which
        )

    with ThreadPoolExecutor(WRITERS) as pool:
        jobs = {name: pool.submit(partial(publish, name, texts)) for name in LOGS}
        jobs["quarantine"] = pool.submit(partial(publish, "quarantine", texts + newer))
        results = {name: job.result() for name, job in jobs.items()}
    results["impressions"] = publish("impressions", older + texts)  # last: its partition says that a day is published
    rewritten = [day for day in results["impressions"].changed_days if day < texts[0]]
    own = [one for one in found if one.day in texts]
    rows = sum(one.rows for one in own)
    remarks = [f"late clicks changed the labels of {', '.join(rewritten)}; stage 4 writes their groups again"]
    return StageReport(
        stage="2-quality",
        day=texts[-1],
        seconds=0.0,
        rows_in=rows,
        rows_out=rows,
        versions={name: result.version for name, result in results.items()},
        counts={"days": len(texts), "rewritten_days": len(rewritten)},
        remarks=[
            *(remarks if rewritten else []),
            f"CTR {own[-1].ctr:.4f}, {own[-1].quarantined_share:.2%} of rows set aside on {own[-1].day}",
            f"Data Docs: {auditor.docs}",
        ],
    )


def _message(
    spark: SparkSession,
    settings: Settings,
    day: str,
    failures: list[Failure],
    found: list[DayFigures],
    auditor: Auditor,
) -> str:
    own = next(one for one in found if one.day == day)
    said = []
    for failure in failures:
        if failure.suite == suites.DAYS_SUITE:
            observed = ", ".join(f"{name} {_number(getattr(own, name))}" for name in failure.columns)
        else:
            observed = f"{', '.join(failure.columns)}: {failure.observed}"
        said.append(f"{failure.expectation}: observed {observed}; wanted: {failure.wanted}")
    aside = delta.read(spark, settings, "quarantine", [day], staged=True).groupBy("source", "reason").count().collect()
    most = sorted(((r["count"], r["source"], r["reason"]) for r in aside), reverse=True)[:3]
    reasons = "; ".join(f"{count} {source}: {reason}" for count, source, reason in most) or "none"
    return (
        f"the audit refused {day}, nothing of it is published. {' | '.join(said)}. "
        f"Most rows set aside: {reasons}. Data Docs: {auditor.docs}"
    )


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
