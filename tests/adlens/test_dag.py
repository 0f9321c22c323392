"""The daily DAG as Airflow itself reads it, and the one rule for which day a run is about."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from adlens import airflow_home
from contracts.errors import InputError
from contracts.settings import Settings
from dags.interval import resolve_day

_READ = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
dag = bag.dags.get("adlens_daily")
print(json.dumps({
    "errors": {k: v[-300:] for k, v in bag.import_errors.items()}, "ids": sorted(bag.dags),
    "tasks": {t.task_id: [type(t).__name__, t.retries, sorted(t.downstream_task_ids)] for t in dag.tasks},
    "catchup": dag.catchup, "runs": dag.max_active_runs,
    "interval": [str(x) for x in (dag.timetable.infer_manual_data_interval(run_after=__import__("pendulum").datetime(
        2026, 2, 3, 2)))] if sys.argv[2] == "cron" else None,
    "arguments": dag.get_task("quality").application_args, "conn": dag.get_task("quality")._conn_id,
}))
"""


def read_dag(home, schedule: str) -> dict:
    settings = Settings(home=home)
    environment = airflow_home.environment(settings) | {"ADLENS_SCHEDULE": schedule}
    dags = environment["AIRFLOW__CORE__DAGS_FOLDER"]
    kind = "none" if schedule == "none" else "cron"
    done = subprocess.run(
        [sys.executable, "-c", _READ, dags, kind], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def dag(tmp_path_factory):
    return read_dag(tmp_path_factory.mktemp("home"), "0 2 * * *")


def test_it_imports_and_is_the_only_one(dag):
    assert dag["errors"] == {} and dag["ids"] == ["adlens_daily"]


def test_tasks_and_order(dag):
    spark = "SparkSubmitOperator"
    assert dag["tasks"] == {
        "impressions": [spark, 1, ["quality"]],
        "quality": [spark, 1, ["features", "groups"]],
        "features": [spark, 1, ["materialise"]],
        "materialise": [spark, 1, ["release"]],
        "groups": [spark, 1, ["release"]],
        "release": ["BashOperator", 1, []],
    }
    assert dag["conn"] == "spark_default" and dag["arguments"][:2] == ["quality", "--start"]


def test_one_run_at_a_time_and_no_catchup(dag):
    assert dag["catchup"] is False and dag["runs"] == 1


def test_a_scheduled_run_starts_after_window_and_grace_and_names_the_day_before(dag):
    start, end = (datetime.fromisoformat(text) for text in dag["interval"])
    assert (start, end) == (datetime(2026, 2, 2, 2, tzinfo=UTC), datetime(2026, 2, 3, 2, tzinfo=UTC))
    assert resolve_day({}, start, "UTC") == "2026-02-02"  # a scheduled run's logical date is its interval's start
    settings = Settings()
    assert settings.schedule == f"0 {(settings.attribution_window_minutes + settings.grace_minutes) // 60} * * *"


SHANGHAI = "Asia/Shanghai"


@pytest.mark.parametrize(
    "conf, logical_date, zone, day",
    [
        ({"day": "2026-02-03"}, None, "UTC", "2026-02-03"),  # manual, through the API
        ({"day": "2026-02-03"}, datetime(2020, 1, 1, tzinfo=UTC), "UTC", "2026-02-03"),
        ({"day": None}, datetime(2026, 2, 3, tzinfo=UTC), "UTC", "2026-02-03"),  # airflow dags test ... 2026-02-03
        (None, datetime(2026, 2, 3, tzinfo=UTC), SHANGHAI, "2026-02-03"),
        (None, datetime(2026, 2, 3, tzinfo=UTC), "America/New_York", "2026-02-03"),
        (None, datetime(2026, 2, 3, 2, tzinfo=ZoneInfo(SHANGHAI)), SHANGHAI, "2026-02-03"),  # scheduled, 18:00 UTC
        (None, datetime(2026, 2, 3, 2, tzinfo=ZoneInfo("America/New_York")), "America/New_York", "2026-02-03"),
    ],
)
def test_which_day(conf, logical_date, zone, day):
    assert resolve_day(conf, logical_date, zone) == day


def test_a_run_without_any_day_is_refused():
    with pytest.raises(InputError, match="no logical date"):
        resolve_day({}, None, "UTC")
    with pytest.raises(InputError, match="YYYY-MM-DD"):
        resolve_day({"day": "3 Feb"}, None, "UTC")
