"""`adlens_maintenance`: once a week the tables are compacted, and what no run can need any more is deleted.

The only place that deletes: which days are kept, and why, is in `docs/operations.md`. It shares a pool with the stages
that rewrite the log, so none of them runs beside it.
"""

from __future__ import annotations

from airflow.sdk import DAG

from dags import stages

with DAG(
    "adlens_maintenance",
    description="Tables are compacted and cleaned up",
    schedule=stages.timetable("0 5 * * 0"),
    params={
        "day": stages.day_param("today, for what is kept; empty: the last day of the run's week"),
        "dry_run": stages.dry_run_param(),
    },
    doc_md=__doc__,
    **stages.DAG_COMMON,
) as dag:
    maintain = stages.spark("maintain", "--start", stages.LAST_WHOLE_DAY)
