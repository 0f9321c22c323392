"""`adlens_table`: the lookup table of the model in service for the newest catalogue, without a new model.

New ads get their vectors from the champion's CNN as soon as `ads` holds them and their pictures have landed, between
two releases and on the days of a "no". A run that finds nothing new publishes nothing. It shares a pool with the
release: what serves changes one step at a time.
"""

from __future__ import annotations

import sys

from airflow.sdk import DAG

from dags import stages

with DAG(
    "adlens_table",
    description="New ads get visual vectors from the model in service",
    schedule=stages.timetable("20 * * * *"),
    params={"dry_run": stages.dry_run_param()},
    doc_md=__doc__,
    **stages.DAG_COMMON,
) as dag:
    refresh = stages.command("refresh-table", f"{sys.executable} -m release refresh-table")
