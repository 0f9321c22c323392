"""`adlens_rebuild`: groups whose labels late clicks have changed are written again.

`groups` of a daily run does that for the days just before it (as far as a late click reaches). This DAG looks further
back: after a backfill, or after rows were released from quarantine. It compares the groups with the log, so it needs no
list of changed days and finds nothing to do when there is none.

**Cost.** One pass over the labels of the range, and of the days that differ at most `most`, the earliest first; the
rest is named in the log and waits for the next run.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from dags import stages

with DAG(
    "adlens_rebuild",
    description="Groups of days whose labels changed are written again, at most so many a run",
    schedule=stages.timetable("0 12 * * *"),
    params={
        "day": stages.day_param("last business day to look at; empty: the run's date"),
        "back": Param(
            stages.SETTINGS.window_days,
            type="integer",
            minimum=1,
            maximum=400,
            title="Days",
            description="days to look at",
        ),
        "most": Param(
            4, type="integer", minimum=1, maximum=400, title="Most days", description="write at most so many"
        ),
        "dry_run": stages.dry_run_param(),
    },
    doc_md=__doc__,
    **stages.DAG_COMMON,
) as dag:
    inner = stages.DAY.strip("{} ")
    rebuild = stages.spark(
        "rebuild",
        *("--start", f"{{{{ shifted({inner}, 1 - params.back) }}}}"),
        *("--end", f"{{{{ shifted({inner}, 1) }}}}"),
        *("--most", "{{ params.most }}"),
    )
