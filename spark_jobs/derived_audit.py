"""The audit of the tables that a stage makes of published ones: snapshots, groups. It comes after their last write, and
who builds on a day asks what it left in the stage's table of figures (contracts.verdicts).

A day's values follow from its rows; bounds and drifts from the week before, as of landed days (spark_jobs.figures). So
whoever has written days judges those after them again, and the table does not depend on the order of runs. Days that
have rows and no figures, because a run was killed between the two or is older than the audit, are measured too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from pyspark.sql import SparkSession

from contracts import suite_files, verdicts
from contracts.commits import Cause
from contracts.days import Days
from contracts.derived import GROUPS, SNAPSHOTS
from contracts.errors import DamagedArtifact, QualityStop
from contracts.features import built
from contracts.settings import Settings
from spark_jobs import conflicts, delta, figure_table, figures, group_figures, landing_reader, snapshot_figures
from spark_jobs.audit import Auditor, Failure
from spark_jobs.audit_words import stops, warnings
from spark_jobs.figures import Known
from spark_jobs.seen import Seen

JUDGED, FOLLOWS = "figures of the day", "bounds and drifts follow the days before"


@dataclass(frozen=True)
class Audited:
    """`figures`: their table. `tables`: the last is written last, so its days are those that are there."""

    figures: str
    tables: tuple[str, ...]
    measured: Callable[[SparkSession, Settings, Sequence[str]], Known]


OF_SNAPSHOTS = Audited(verdicts.SNAPSHOT_FIGURES, tuple(SNAPSHOTS), snapshot_figures.measured)
OF_GROUPS = Audited(verdicts.GROUP_FIGURES, tuple(GROUPS), group_figures.measured)


class Audit:
    """Made before the stage works: a suite with a mistake is told then, and Great Expectations, which takes seconds to
    import, comes while Spark computes."""

    def __init__(self, spark: SparkSession, settings: Settings, of: Audited, until: ExitStack) -> None:
        self.spark, self.settings, self.of = spark, settings, of
        self.suites = suite_files.derived(settings.landing_path, of.tables, built(settings))
        pool = until.enter_context(ThreadPoolExecutor(1))
        self._opened = pool.submit(Auditor, settings, self.suites, of.figures)
        if not delta.exists(settings, of.tables[-1]):
            # Killed before its first audit, the stage then leaves days that nobody takes for those of an older home.
            delta.create(spark, settings, of.figures)

    def forget(self, days: Sequence[str], cause: Cause) -> None:
        """No figures of days that are about to be written otherwise: a run that is killed meanwhile leaves them to be
        measured by the next."""
        known = sorted(set(days) & delta.built_days(self.settings, self.of.figures))
        if known:
            figure_table.write(self.spark, self.settings, {}, self.of.figures, gone=known, cause=cause)

    def judge(self, cause: Cause, written: Sequence[str], gone: Sequence[str] = ()) -> tuple[int, list[str]]:
        """Measure and judge the days that were written, write the figures and make Data Docs. Returns the table's
        version and remarks: warnings, and other days than the run's that are stopped. `gone`: days that hold no rows.

        Raises QualityStop where a day of the run is stopped; its figures are written all the same.
        """
        for left in reversed(range(conflicts.ATTEMPTS)):
            try:
                return self._judged(cause, written, gone)
            except DamagedArtifact:  # another run has judged days near these at the same moment: once more, after it
                if not left:
                    raise
                time.sleep(conflicts.PAUSE)
        raise AssertionError("the last attempt returns or raises")

    def _judged(self, cause: Cause, written: Sequence[str], gone: Sequence[str]) -> tuple[int, list[str]]:
        settings, table = self.settings, self.of.figures
        unjudged = delta.built_days(settings, self.of.tables[-1]) - delta.built_days(settings, table) - set(gone)
        own, changed = sorted({*written, *unjudged}), sorted({*written, *unjudged, *gone})
        span = Days.parse(changed[0], landing_reader.day_after(changed[-1]))
        near = span.widened(before=figures.REACH, after=figures.REACH)
        seen = Seen(settings, near, table)
        known = figure_table.read(settings, near.texts(), table)
        for day in gone:
            known.pop(day, None)
        known |= self.of.measured(self.spark, settings, own)
        touched = [day for day in sorted(known) if day >= changed[0]]
        known |= figures.judged(known, touched, self.suites, settings)
        asked = [day for day in cause.run.texts() if day in written]
        auditor = self._opened.result()
        failures = auditor.audit(asked, known) if asked else []
        said = Cause(cause.stage, cause.run, JUDGED, JUDGED, FOLLOWS, seen.by)
        with ThreadPoolExecutor(1) as pool:  # Data Docs' pages are made while Spark writes
            docs = pool.submit(auditor.write_docs) if asked else None
            result = figure_table.write(
                self.spark, settings, {day: known[day] for day in touched}, table, gone, cause=said, seen=seen
            )
            if docs:
                docs.result()
        seen.check()
        if any(one.level == "stop" for one in failures):
            raise QualityStop(self._message(asked, failures, known))
        misses = [one for one in failures if one.level == "warn"]
        remarks = [f"warning: {sentence}" for sentence in warnings(asked, known, misses)]
        stopped = [day for day in own if day not in asked and _stopped(known, day)]
        if stopped:
            remarks.append(f"the audit stopped {', '.join(stopped)} too: nothing more is built on them")
        return result.version, remarks

    def _message(self, asked: Sequence[str], failures: Sequence[Failure], known: Known) -> str:
        day = next((day for day in asked if _stopped(known, day)), asked[0])
        own = [one for one in failures if not one.columns or any(_fails(known, day, name) for name in one.columns)]
        table = next((one.suite for one in own if one.level == "stop"), self.of.tables[-1])
        return (
            f"the audit stopped {table} of {day}; it can be looked at, and nothing is built on it. "
            f"{stops(own, known[day])}. {verdicts.remedy(self.settings, self.of.figures, table, day)}"
        )


def _stopped(known: Known, day: str) -> bool:
    return any(one.verdict == "stop" for one in known[day].values())


def _fails(known: Known, day: str, figure: str) -> bool:
    return figure in known[day] and known[day][figure].verdict == "stop"
