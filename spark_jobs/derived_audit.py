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
from typing import TypeVar

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
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

T = TypeVar("T")
JUDGED, FOLLOWS = "figures of the day", "bounds and drifts follow the days before"


@dataclass(frozen=True)
class Audited:
    """`figures`: their table. `tables`: the last is written last, so its days are those that are there."""

    figures: str
    tables: tuple[str, ...]
    measured: Callable[[SparkSession, Settings, Sequence[str]], Known]


OF_SNAPSHOTS = Audited(verdicts.SNAPSHOT_FIGURES, tuple(SNAPSHOTS), snapshot_figures.measured)
OF_GROUPS = Audited(verdicts.GROUP_FIGURES, tuple(GROUPS), group_figures.measured)


def unjudged(settings: Settings, of: Audited) -> set[str]:
    """Days that have rows and no figures."""
    return delta.built_days(settings, of.tables[-1]) - delta.built_days(settings, of.figures)


class Audit:
    """Made before the stage works: a suite with a mistake is told then, and Great Expectations, which takes seconds to
    import, comes while Spark computes."""

    def __init__(self, spark: SparkSession, settings: Settings, of: Audited, until: ExitStack) -> None:
        self.spark, self.settings, self.of = spark, settings, of
        self.suites = suite_files.derived(settings.landing_path, of.tables, built(settings))
        pool = until.enter_context(ThreadPoolExecutor(1))
        self._opened = pool.submit(Auditor, settings, self.suites, of.figures)
        if not delta.exists(settings, of.tables[-1]):
            self._table()  # killed before its first audit, the stage then leaves days that nobody takes for old ones

    def forget(self, days: Sequence[str], cause: Cause) -> None:
        """No figures of days that are about to be written otherwise: a run that is killed meanwhile leaves them to be
        measured by the next."""
        if days:
            self._alone(lambda: figure_table.replace(self._table(), {}, cause, gone=days))

    def judge(self, cause: Cause, written: Sequence[str], gone: Sequence[str] = ()) -> tuple[int, list[str]]:
        """Measure and judge the days that were written, and those that nobody has judged; write the figures and make
        Data Docs. Returns the table's version and remarks: warnings, and other days than the run's that are stopped.
        `gone`: days that hold no rows.

        Raises QualityStop where a day of the run is stopped; its figures are written all the same.
        """
        return self._alone(lambda: self._judged(cause, written, gone))

    def _alone(self, attempt: Callable[[], T]) -> T:
        """Once more after another run that has judged days near these at the same moment."""
        for n in range(conflicts.ATTEMPTS):
            try:
                return attempt()
            except (CommitFailedError, DamagedArtifact) as conflict:
                last = conflict
                time.sleep(conflicts.PAUSE if n + 1 < conflicts.ATTEMPTS else 0)
        raise DamagedArtifact(f"table {self.of.figures}: other runs wrote it all the while; run the day again ({last})")

    def _table(self) -> DeltaTable:
        """Its newest version; made where there is none."""
        delta.create(self.spark, self.settings, self.of.figures)
        return DeltaTable(delta.address(self.settings, self.of.figures))

    def _judged(self, cause: Cause, written: Sequence[str], gone: Sequence[str]) -> tuple[int, list[str]]:
        settings, table = self.settings, self.of.figures
        own = sorted({*written, *unjudged(settings, self.of)} - set(gone))
        changed = sorted({*own, *gone})
        span = Days.parse(changed[0], landing_reader.day_after(changed[-1]))
        near = span.widened(before=figures.REACH, after=figures.REACH)
        seen, before = Seen(settings, near, table), self._table()
        known = figure_table.known_of(before, near.texts())
        for day in gone:
            known.pop(day, None)
        known |= self.of.measured(self.spark, settings, own)
        touched = [day for day in sorted(known) if day >= changed[0]]
        known |= figures.judged(known, touched, self.suites, settings)
        asked = [day for day in cause.run.texts() if day in written]
        auditor = self._opened.result()
        failures = auditor.audit(asked, known) if asked else []
        said = Cause(cause.stage, cause.run, JUDGED, JUDGED, FOLLOWS, seen.by)
        figure_table.replace(before, {day: known[day] for day in touched}, said, gone)
        if asked:
            auditor.write_docs()
        seen.check()
        if any(one.level == "stop" for one in failures):
            raise QualityStop(self._message(asked, failures, known))
        misses = [one for one in failures if one.level == "warn"]
        remarks = [f"warning: {sentence}" for sentence in warnings(asked, known, misses)]
        stopped = [day for day in own if day not in asked and _stopped(known, day)]
        if stopped:
            remarks.append(f"the audit stopped {', '.join(stopped)} too: nothing more is built on them")
        return self._table().version(), remarks

    def _message(self, asked: Sequence[str], failures: Sequence[Failure], known: Known) -> str:
        day = next((day for day in asked if _stopped(known, day)), asked[0])
        own = [one for one in failures if not one.columns or any(_fails(known, day, name) for name in one.columns)]
        table = next((one.suite for one in own if one.level == "stop" and one.suite in self.suites), self.of.tables[-1])
        return (
            f"the audit stopped {table} of {day}; it can be looked at, and nothing is built on it. "
            f"{stops(own, known[day])}. {verdicts.remedy(self.settings, self.of.figures, table, day)}"
        )


def _stopped(known: Known, day: str) -> bool:
    return any(one.verdict == "stop" for one in known[day].values())


def _fails(known: Known, day: str, figure: str) -> bool:
    return figure in known[day] and known[day][figure].verdict == "stop"
