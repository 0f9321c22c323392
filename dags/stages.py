"""A stage as an Airflow task: its operator, place, outlets, words, and what all tasks of AdLens have in common.

A stage that fails is tried again after 10, 30, 90 s ... unless its exit code says that the same would happen again
(dags/retries.py). A task outside the run's range of stages is skipped; in a dry run every task says what it would do
and is skipped. So each waits for its upstream tasks not to have failed, and not for them to have succeeded.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Asset, DeadlineAlert, DeadlineReference, Param, SyncCallback
from airflow.sdk.exceptions import AirflowSkipException
from airflow.timetables.interval import CronDataIntervalTimetable

from contracts import history, paths, pools, spark_options
from contracts import settings as adlens_settings
from contracts.tables import declared
from dags import alerts, interval
from dags.on_request import OnRequest
from dags.retries import ByExitCode

SETTINGS = adlens_settings.load()
LOCAL = spark_options.is_local(SETTINGS)
ON_REQUEST = SETTINGS.schedule == "none"  # nothing lands by the clock: a laptop's generated or historical days
STAGES = ("impressions", "quality", "features", "materialise", "groups", "release")
APPLICATION = Path(__file__).resolve().parent.parent / "spark_jobs" / "__main__.py"
# A cluster's image holds them.
JARS = ",".join(map(str, spark_options.jars(SETTINGS))) if LOCAL else None

DAY = "{{ resolve_day(dag_run.conf, logical_date | default(none), time_zone, dag_run.run_type) }}"
# What maintenance counts back from: the day that somebody names, else the newest published one up to the run's last.
COUNTED_FROM = (
    "{{ '--start' if (dag_run.conf or {}).get('day') else '--at-latest' }}",
    "{{ at_latest(dag_run.conf, logical_date | default(none), data_interval_end | default(none), time_zone, "
    "dag_run.run_type) }}",
)
MACROS = {
    "resolve_day": interval.resolve_day,
    "at_latest": interval.at_latest,
    "shifted": interval.shifted,
    "days_between": interval.days_between,
    "time_zone": SETTINGS.time_zone,
}

DOCS = {
    "impressions": "Landing files of the day -> `staged/*`, every refused row with its reason in `quarantine`. "
    "Late clicks rewrite the labels of the days before. Landed days that this run needs and nobody has published "
    "are published first. **Stops for bad input** (exit code 2): mend the folder, then clear this task.",
    "quality": "Great Expectations audits the staged day; only then do others see it. **A refused day** (exit code 4) "
    "stays unpublished: its Data Docs page says which expectation failed.",
    "features": "The snapshots `user_features` and `ad_features`, stamped with the end of the day.",
    "materialise": "The snapshot -> Feast's online store, which the predictor reads.",
    "groups": "The day's impressions joined with the snapshot before them, as codes: `ad_groups`, `user_groups`. "
    "Also the days before whose labels late clicks have changed, and those that nobody has grouped.",
    "served_quality": "What the served model was worth on the day whose labels are complete now -> `served_quality`. A "
    "figure outside its band raises an alert; with `auto_rollback` what served before comes back. Fails nothing.",
    "refresh-table": "The newest catalogue through the CNN of the model in service; nothing new publishes nothing.",
    "release": "The KFP pipeline: train on the days before, lookup table, gate on the day, publish. "
    "A gate that says no is a success: the champion stays. For a day before the latest run nothing is published.",
    "maintain": "Days of the tables that no run needs any more are deleted, small files put together, files that no "
    "kept version needs removed. Counted back from the newest published day of the run's week.",
    "tidy": "Artifacts, bundles and decoded pictures of the release that nobody needs any more are removed.",
    "reconcile": "Log, pointer and MLflow's alias agree again; a version that somebody asks for meets the gate.",
}
KINDS: dict[str, pools.Kind] = {
    "impressions": "log", "quality": "log", "maintain": "log", "materialise": "release", "release": "release",
    "reconcile": "release", "served_quality": "release", "refresh-table": "release",
    "tidy": "release",
    "features": "data", "groups": "data", "rebuild": "data",
}  # fmt: skip
# Stage -> whose tables it makes readable, where that is not its own.
PUBLISHED_BY = {"impressions": (), "quality": ("impressions", "quality"), "rebuild": ("groups",)}

COMMON: dict[str, Any] = {
    "owner": "ads-ranking",
    "weight_rule": "upstream",  # a day that was begun goes on before the next one begins
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 3,
    "max_retry_delay": timedelta(minutes=15),
    "retry_policy": ByExitCode(),
    "execution_timeout": timedelta(minutes=SETTINGS.stage_timeout_minutes),
    "on_failure_callback": alerts.task_failed,
}

# A DAG's arguments that are the same in all of them.
DAG_COMMON: dict[str, Any] = {
    # Airflow skips the tasks of a day before its DAG's start, and calls that a success.
    "start_date": datetime(1970, 1, 1, tzinfo=UTC),
    "catchup": False,
    "max_active_runs": 1,
    "max_active_tasks": 1 if LOCAL else 16,  # two Spark drivers would fight for a laptop
    "default_args": COMMON,
    "user_defined_macros": MACROS,
    "tags": ["adlens"],
}


def timetable(cron: str | None = None) -> CronDataIntervalTimetable:
    """The cron's (None: the setting's) intervals in the business time zone; no clock where runs are asked for."""
    default = adlens_settings.Settings.model_fields["schedule"].default
    expression = cron or (default if ON_REQUEST else SETTINGS.schedule)
    return (OnRequest if ON_REQUEST else CronDataIntervalTimetable)(expression, timezone=SETTINGS.time_zone)


def always(cron: str) -> CronDataIntervalTimetable:
    """The cron's intervals, by the clock also where days are run on request."""
    return CronDataIntervalTimetable(cron, timezone=SETTINGS.time_zone)


def deadline() -> DeadlineAlert | None:
    if not SETTINGS.deadline_minutes:
        return None
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=SETTINGS.deadline_minutes),
        callback=SyncCallback(alerts.deadline_missed),
        name="the run's end",
    )


def asset(table: str) -> Asset:
    """A table, so that other DAGs can be scheduled on it."""
    where = paths.table(SETTINGS, table)
    return Asset(name=table, uri=where if "://" in where else f"file://{where}")


def outlets(stage: str) -> list[Asset]:
    """The tables that others can read afresh once the stage has ended. Stage 1's are published by stage 2."""
    if stage in ("release", "reconcile"):
        written = ("visual_table", "table_coverage", "gate_decisions", "evaluation_slices", "publication_log")
        return [asset(table) for table in written]
    if stage == "served_quality":
        return [asset("served_quality")]
    if stage == "refresh-table":
        return [asset(table) for table in ("visual_table", "publication_log")]
    modules = {f"spark_jobs.{one}" for one in PUBLISHED_BY.get(stage, (stage,))}
    return [asset(table.name) for table in declared(SETTINGS).values() if table.writer.split()[0] in modules]


def day_param(what: str = "business day; empty: the one of the logical date") -> Param:
    return Param(None, type=["null", "string"], format="date", title="Day", description=what)


def stage_params(stages: Sequence[str] = STAGES) -> dict[str, Param]:
    """The range of stages and the dry run."""
    return {
        "first_stage": Param(
            stages[0], type="string", enum=list(stages), title="First stage", description="skip the stages before it"
        ),
        "last_stage": Param(
            stages[-1], type="string", enum=list(stages), title="Last stage", description="skip the stages after it"
        ),
        "dry_run": dry_run_param(),
    }


def dry_run_param() -> Param:
    return Param(False, type="boolean", title="Dry run", description="each task logs its command and does nothing")


def in_range(stage: str, params: Mapping[str, Any]) -> bool:
    """Whether the stage lies in the run's range. One that is in no range (rebuild, maintain) always does."""
    if stage not in STAGES:
        return True
    first, last = params.get("first_stage", STAGES[0]), params.get("last_stage", STAGES[-1])
    return STAGES.index(first) <= STAGES.index(stage) <= STAGES.index(last)


def turn(context: Mapping[str, Any]) -> None:
    """Airflow's `pre_execute`. Raises AirflowSkipException when the task has nothing to do in this run."""
    task, params = context["task"], context["params"]
    if not in_range(task.task_id, params):
        raise AirflowSkipException(f"{task.task_id} is not between {params['first_stage']} and {params['last_stage']}")
    if params.get("dry_run"):
        spark = isinstance(task, SparkSubmitOperator)
        command = "python -m spark_jobs " + " ".join(task.application_args) if spark else task.bash_command
        raise AirflowSkipException(f"dry run; would run: {command}")


def common(stage: str) -> dict[str, Any]:
    """An operator's arguments that depend on the stage only."""
    return {
        "task_id": stage,
        "doc_md": DOCS.get(stage),
        "outlets": outlets(stage),
        "pre_execute": turn,
        "trigger_rule": "none_failed",
        **pools.place(SETTINGS, KINDS[stage]),
    }


def spark_arguments(stage: str) -> dict[str, Any]:
    """SparkSubmitOperator's arguments but the application's own."""
    return common(stage) | {
        "conn_id": "spark_default",
        "name": f"adlens-{stage}",
        "application": str(APPLICATION),
        "conf": spark_options.options(SETTINGS) | {"spark.log.level": "WARN"},
        "jars": JARS,
    }


def spark(stage: str, *arguments: str) -> SparkSubmitOperator:
    """The stage's task. Without arguments: for the run's day."""
    said = [*(arguments or ("--start", DAY)), *(("--catch-up",) if stage in history.CATCHES_UP else ())]
    return SparkSubmitOperator(application_args=[stage, *said], **spark_arguments(stage))


def command(stage: str, bash_command: str, **more: Any) -> BashOperator:
    return BashOperator(bash_command=bash_command, append_env=True, **common(stage), **more)


def served_quality(day: str) -> BashOperator:
    """In the release's pool, so that a rollback of its own never comes between a gate and its publication."""
    asked = f"{sys.executable} -m release served-quality --day {day}"
    return command("served_quality", asked, on_success_callback=alerts.quality_left_band)


def released(day: str) -> str:
    """The command that releases a day."""
    return f"{sys.executable} -m components run --day {day}"
