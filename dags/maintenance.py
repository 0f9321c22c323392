"""`adlens_maintenance`: once a week the tables are compacted, and what no run can need any more is deleted.

1. `maintain`: the tables. It shares a pool with the stages that rewrite the log, so none of them runs beside it.
2. `tidy`: the release's artifacts, bundles and decoded pictures, in the release's pool.

The only place that deletes: which days are kept, and why, is in `docs/tables.md`. They are counted back from the newest
published day, so a week whose last day was refused, failed or is still being made is maintained all the same. A day
that somebody names must be published: a mistyped one would delete everything.
"""

from __future__ import annotations

import sys

from airflow.sdk import DAG

from dags import stages

with DAG(
    "adlens_maintenance",
    description="Tables and release files are compacted and cleaned up",
    schedule=stages.timetable("0 5 * * 0"),
    params={
        "day": stages.day_param(
            "published day to count back from; empty: the newest published one, of a scheduled run up to its week's end"
        ),
        "dry_run": stages.dry_run_param(),
    },
    doc_md=__doc__,
    **stages.DAG_COMMON,
) as dag:
    maintain = stages.spark("maintain", *stages.COUNTED_FROM)
    tidy = stages.command("tidy", " ".join([sys.executable, "-m release tidy", *stages.COUNTED_FROM]))
    maintain >> tidy
