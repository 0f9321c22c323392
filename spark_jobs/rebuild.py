"""Groups of any earlier days whose labels late clicks have changed, a bounded number of days a run."""

from __future__ import annotations

import time

from pyspark.sql import SparkSession

from contracts import history
from contracts.days import Days, parse_day
from contracts.report import StageReport
from contracts.settings import Settings
from spark_jobs import groups, relabelled

STAGE = "4-rebuild"


def run(spark: SparkSession, settings: Settings, days: Days, most: int = 4) -> StageReport:
    """Write the groups of the earliest `most` days of the interval that differ from the log in a label.

    Cost: one pass over the labels of the interval, and of each day that is written what `groups` costs.
    """
    began = time.monotonic()
    stale = relabelled.differing(spark, settings, days.texts())
    chosen, left = stale[:most], stale[most:]
    reports: list[StageReport] = []
    # The earliest first: no day before a chosen one is stale, so `groups` itself adds none to them.
    for start, end in history.ranges([parse_day(day) for day in chosen]):
        reports.append(groups.run(spark, settings, Days(start, end)))
    remarks = [f"groups of {', '.join(chosen)} written again: late clicks changed labels"] if chosen else []
    if left:
        remarks.append(f"left for the next run: {', '.join(left)}")
    return StageReport(
        stage=STAGE,
        day=days.texts()[-1],
        seconds=time.monotonic() - began,
        rows_in=sum(one.rows_in for one in reports),
        rows_out=sum(one.rows_out for one in reports),
        versions=reports[-1].versions if reports else {},
        counts={"differing_days": len(stale), "written_days": len(chosen)},
        remarks=remarks or ["every group holds the labels of the log"],
    )
