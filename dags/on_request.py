"""The timetable of a home whose runs are asked for (`schedule` is `none`): days, but no clock.

Airflow refuses to backfill a DAG without a timetable. This one knows the intervals of a cron expression, so that a
backfill has days to run, and never starts one by itself. Airflow takes it from a plugin: infra/airflow/plugins.
"""

from __future__ import annotations

from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable


class OnRequest(CronDataIntervalTimetable):
    """A range that somebody names (a backfill) is asked for with `catchup`; the scheduler's own question is not."""

    @property
    def summary(self) -> str:
        """What the pages show as the schedule."""
        return "when asked for"

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        if not restriction.catchup:
            return None
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
