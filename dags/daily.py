"""`adlens_daily`: one business day, from its click log to a published model.

    impressions -> quality -> features -> materialise -> release
                          \\-> groups  ----------------/

    impressions, quality, features, materialise, groups   Spark, by spark-submit and the connection `spark_default`
    release                                               the KFP pipeline: train, lookup table, gate, publish

`groups` of D needs the snapshot S(D-1) only, so it does not wait for `features`, which makes S(D). A run starts two
hours after D has ended: attribution window and grace (DESIGN, rule 1).
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from contracts import settings as adlens_settings
from contracts import spark_options
from dags.interval import resolve_day

SETTINGS = adlens_settings.load()
APPLICATION = Path(__file__).resolve().parent.parent / "spark_jobs" / "__main__.py"
# A cluster's image holds them.
JARS = ",".join(map(str, spark_options.jars(SETTINGS))) if spark_options.is_local(SETTINGS) else None
DAY = "{{ resolve_day(dag_run.conf, logical_date | default(none), time_zone) }}"


def _schedule() -> CronDataIntervalTimetable | None:
    """None where nothing lands by the clock (a laptop's generated or historical days): runs are asked for."""
    if SETTINGS.schedule == "none":
        return None
    return CronDataIntervalTimetable(SETTINGS.schedule, timezone=SETTINGS.time_zone)


def _spark(stage: str) -> SparkSubmitOperator:
    return SparkSubmitOperator(
        task_id=stage,
        conn_id="spark_default",
        name=f"adlens-{stage}",
        application=str(APPLICATION),
        application_args=[stage, "--start", DAY],
        conf=spark_options.options(SETTINGS) | {"spark.log.level": "WARN"},
        jars=JARS,
    )


with DAG(
    "adlens_daily",
    description="One day's click log becomes a published model",
    schedule=_schedule(),
    start_date=datetime(1970, 1, 1, tzinfo=UTC),  # Airflow skips the tasks of an older day and calls it a success
    catchup=False,
    max_active_runs=1,  # a day reads what the day before it published
    max_active_tasks=1 if spark_options.is_local(SETTINGS) else 8,  # two Spark drivers would fight for a laptop
    default_args={"retries": 1, "retry_delay": timedelta(seconds=5), "owner": "ads-ranking"},
    params={"day": Param(None, type=["null", "string"], description="business day YYYY-MM-DD; empty: the run's date")},
    user_defined_macros={"resolve_day": resolve_day, "time_zone": SETTINGS.time_zone},
    doc_md=__doc__,
    tags=["adlens"],
) as dag:
    impressions, quality, features = _spark("impressions"), _spark("quality"), _spark("features")
    materialise, groups = _spark("materialise"), _spark("groups")
    release = BashOperator(
        task_id="release", bash_command=f"{sys.executable} -m components run --day {DAY}", append_env=True
    )
    impressions >> quality >> [features, groups]
    features >> materialise >> release
    groups >> release
