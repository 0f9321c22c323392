"""`adlens_daily`: one business day, from its click log to a published model.

1. `impressions`, then `quality`: the day's log with its labels, audited before others can read it
2. `features`, then `materialise`: the snapshot S(D), and the online store
3. `groups`, beside them: the impressions as codes. It needs the snapshot S(D-1) only, so it waits for no `features`.
4. `release`: the KFP pipeline, that is train, lookup table, gate, publish; beside it `served_quality`, what the served
   model was worth on the day whose labels are complete now

1 to 3 are Spark jobs, by spark-submit and the connection `spark_default`. A run starts two hours after D has ended:
attribution window and grace.

**Order.** Scheduled and manual runs go one at a time (`max_active_runs=1`): a day reads what the day before it
published. A backfill has its own bound (`--max-active-runs`), so its days run side by side as far as the pools let
them: features and groups of several days at once, the log and the release one at a time. No task depends on its own
past (`depends_on_past`): one refused day would hold up every later one, and a backfill could not run backwards. Any
order is right all the same. A run first builds the landed days that it needs and nobody has built, and a release looks
up its champion and parent as of its own day: for a day before the latest run nothing is evaluated or published.

How to run, repair, catch up and backfill: `docs/operations.md`.
"""

from __future__ import annotations

from airflow.sdk import DAG

from dags import stages

with DAG(
    "adlens_daily",
    description="One day's click log becomes a published model",
    schedule=stages.timetable(),
    params={"day": stages.day_param()} | stages.stage_params(),
    deadline=stages.deadline(),
    doc_md=__doc__,
    **stages.DAG_COMMON,
) as dag:
    impressions, quality, features = stages.spark("impressions"), stages.spark("quality"), stages.spark("features")
    materialise, groups = stages.spark("materialise"), stages.spark("groups")
    release = stages.command("release", stages.released(stages.DAY))
    impressions >> quality >> [features, groups]
    features >> materialise >> release
    groups >> [release, stages.served_quality(stages.DAY)]
