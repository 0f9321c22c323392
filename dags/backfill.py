"""`adlens_backfill`: a range of days, each stage over the whole range before the next.

The cheap way to build many days: a stage takes `days_at_once` days in one call, several such parts of features, and
then of groups, run side by side as far as the pool lets them, and the online store is loaded once. Unlike a single
day's, the groups of a range wait for its features: all but the first day of a part see a snapshot of the same range.
`release` then goes through the days one at a time and in order; a day that was released before costs nothing, and the
first that fails stops it, so clearing the task goes on from there.

`airflow backfill create --dag-id adlens_daily ...` does the same by whole daily runs, in any order.
"""

from __future__ import annotations

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from contracts import history
from contracts.errors import InputError
from dags import interval, stages

with DAG(
    "adlens_backfill",
    description="A range of days, stage by stage",
    schedule=None,
    params={
        "first_day": Param(
            None, type=["null", "string"], format="date", title="First day", description="first business day"
        ),
        "last_day": Param(
            None, type=["null", "string"], format="date", title="Last day", description="last business day"
        ),
        "days_at_once": Param(
            8, type="integer", minimum=1, maximum=64, title="Days at once", description="days in one call of a stage"
        ),
    }
    | stages.stage_params(),
    doc_md=__doc__,
    **stages.DAG_COMMON,
) as dag:

    @task(doc_md="The range in parts of at most `days_at_once` days.", retries=0)
    def days() -> list[list[str]]:
        params = get_current_context()["params"]
        if not (params["first_day"] and params["last_day"]):
            raise AirflowFailException("say which days: first_day and last_day, each YYYY-MM-DD")
        try:
            parts = interval.chunks(params["first_day"], params["last_day"], params["days_at_once"])
        except InputError as error:
            raise AirflowFailException(f"error: {error}") from None
        return [["--start", start, "--end", end] for start, end in parts]

    def over(parts, stage: str) -> SparkSubmitOperator:
        """The stage once for each part."""
        flags = ["--catch-up"] if stage in history.CATCHES_UP else []
        arguments = parts.map(lambda part, stage=stage, flags=flags: [stage, *part, *flags])
        return SparkSubmitOperator.partial(**stages.spark_arguments(stage)).expand(application_args=arguments)

    parts = days()
    impressions, quality, features, groups = (over(parts, s) for s in ("impressions", "quality", "features", "groups"))
    materialise = stages.spark("materialise", "--start", "{{ params.last_day }}")
    release = stages.command(
        "release",
        "{% for day in days_between(params.first_day, params.last_day) %}"
        + stages.released("{{ day }}")
        + " || exit $?\n"
        "{% endfor %}",
    )
    impressions >> quality >> features >> groups >> release
    features >> materialise >> release
