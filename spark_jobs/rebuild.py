"""Groups of any earlier days whose labels late clicks have changed, a bounded number of days a run."""

from __future__ import annotations

import time
from contextlib import ExitStack

from pyspark.sql import SparkSession

from contracts.commits import Cause
from contracts.days import Days
from contracts.report import StageReport
from contracts.settings import Settings
from spark_jobs import delta, groups, relabelled
from spark_jobs.derived_audit import OF_GROUPS, Audit, unjudged

STAGE = "4-rebuild"


def run(spark: SparkSession, settings: Settings, days: Days, most: int = 4) -> StageReport:
    """Write the groups of the earliest `most` days of the interval that differ from the log in a label.

    Cost: one pass over the labels of the interval, and of each day that is written what `groups` costs.
    """
    began = time.monotonic()
    stale = relabelled.differing(spark, settings, days.texts())
    chosen, left = stale[:most], stale[most:]
    remarks = []
    written, cause = None, Cause(STAGE, days, groups.RELABELLED)
    if not chosen and unjudged(settings, OF_GROUPS):  # a run that was killed had written them
        with ExitStack() as until:
            Audit(spark, settings, OF_GROUPS, until).judge(cause, [])
    if chosen:
        written = groups.write(spark, settings, chosen, chosen, cause, chosen)
        remarks += [f"groups of {', '.join(chosen)} written again: late clicks changed labels", *written.remarks]
    if left:
        remarks.append(f"left for the next run: {', '.join(left)}")
    return StageReport(
        stage=STAGE,
        day=days.texts()[-1],
        seconds=time.monotonic() - began,
        rows_in=sum(delta.row_counts(settings, "impressions", chosen).values()) if chosen else 0,
        rows_out=written.ads.rows + written.users.rows if written else 0,
        versions=written.versions if written else {},
        counts={"differing_days": len(stale), "written_days": len(chosen)},
        remarks=remarks or ["every group holds the labels of the log"],
    )
