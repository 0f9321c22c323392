"""`adlens_promotion`: answers whoever moves the alias `champion` in MLflow, and ends what was interrupted.

An ML engineer promotes a version by moving the alias, in MLflow's pages or by its API. This DAG looks every five
minutes: the version goes through the gate and is published, or the alias goes back and the refusal is written on the
version. It does so also where days are run on request, and is not paused when it is new: asking is done in MLflow, and
nobody would look here first. Where nobody asks, it costs one look at MLflow, before the first model not even that. It
shares a pool with the releases, so none runs beside it.
What it may find and does: `docs/release.md`.
"""

from __future__ import annotations

import sys

from airflow.sdk import DAG

from dags import stages

with DAG(
    "adlens_promotion",
    description="Promotions asked for in MLflow go through the gate",
    schedule=stages.always("*/5 * * * *"),
    is_paused_upon_creation=False,
    params={"dry_run": stages.dry_run_param()},
    doc_md=__doc__,
    **stages.DAG_COMMON,
) as dag:
    reconcile = stages.command("reconcile", f"{sys.executable} -m release reconcile")
