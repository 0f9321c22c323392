"""The DAGs as Airflow itself reads them: tasks, order, pools, params, outlets, retries."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jinja2
import pytest

from adlens import airflow_home
from contracts import pools
from contracts.settings import Settings
from contracts.tables import declared
from dags import interval

REPOSITORY = Path(__file__).resolve().parents[2]

_READ = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowSkipException
from airflow.serialization.serialized_objects import DagSerialization
from dags import stages

def taken(dag, values):
    try:
        DagSerialization.from_dict(DagSerialization.to_dict(dag)).params.deep_merge(values).validate()
        return True
    except ValueError:
        return False

def skipped(task, values):
    try:
        stages.turn({"task": task, "params": {**dag.params.dump(), **values}})
    except AirflowSkipException as said:
        return str(said)

bag = DagBag(sys.argv[1])
dag = bag.dags["adlens_daily"]
groups = dag.get_task("groups")
print(json.dumps({
    "errors": {k: v[-300:] for k, v in bag.import_errors.items()},
    "dags": {d.dag_id: {
        "tasks": {t.task_id: [t.task_type, t.pool, sorted(t.downstream_task_ids)] for t in d.tasks},
        "params": {name: d.params.get_param(name).schema for name in d.params}, "runs": d.max_active_runs,
        "catchup": d.catchup, "timetable": type(d.timetable).__name__, "doc": d.doc_md,
        "past": any(t.depends_on_past for t in d.tasks), "deadline": bool(d.deadline),
        "when": getattr(d.timetable, "summary", None), "paused": d.is_paused_upon_creation,
        "serialized": DagSerialization.from_dict(DagSerialization.to_dict(d)).dag_id,
    } for d in bag.dags.values()},
    "daily": {t.task_id: {
        "retries": t.retries, "backoff": t.retry_exponential_backoff, "policy": type(t.retry_policy).__name__,
        "timeout": t.execution_timeout.total_seconds(), "rule": t.trigger_rule, "doc": bool(t.doc_md),
        "outlets": [one.name for one in t.outlets], "slots": t.pool_slots,
    } for t in dag.tasks},
    "arguments": {name: bag.dags[d].get_task(name).application_args for d, name in (
        ("adlens_daily", "quality"), ("adlens_daily", "groups"), ("adlens_rebuild", "rebuild"),
        ("adlens_maintenance", "maintain"))},
    "tidy": bag.dags["adlens_maintenance"].get_task("tidy").bash_command,
    "taken": [taken(dag, values) for values in json.loads(sys.argv[2])],
    "skipped": [skipped(groups, values) for values in json.loads(sys.argv[3])],
}, default=str))
"""
GOOD = [
    {}, {"day": "2026-02-03"}, {"first_stage": "features", "last_stage": "groups"}, {"dry_run": True},
]  # fmt: skip
BAD = [{"day": "3 Feb"}, {"day": 20260203}, {"first_stage": "training"}, {"last_stage": None}, {"dry_run": "perhaps"}]
TURNS = [
    {},
    {"first_stage": "groups", "last_stage": "groups"},
    {"first_stage": "release"},
    {"last_stage": "quality"},
    {"dry_run": True},
]


def read_dags(home: Path, **chosen: str) -> dict:
    environment = airflow_home.environment(Settings(home=home))
    environment |= {f"ADLENS_{name.upper()}": text for name, text in chosen.items()}
    words = [environment["AIRFLOW__CORE__DAGS_FOLDER"], json.dumps(GOOD + BAD), json.dumps(TURNS)]
    done = subprocess.run(
        [sys.executable, "-c", _READ, *words], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def laptop(tmp_path_factory):
    return read_dags(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    return read_dags(tmp_path_factory.mktemp("home"), spark_master="k8s://https://host", schedule="0 3 * * *")


def test_all_import_serialize_and_say_what_they_are(laptop):
    assert laptop["errors"] == {}
    names = ("backfill", "daily", "maintenance", "promotion", "rebuild", "table")
    assert sorted(laptop["dags"]) == [f"adlens_{name}" for name in names]
    assert laptop["dags"]["adlens_table"]["tasks"]["refresh-table"][:2] == ["BashOperator", "adlens_data"]
    assert all(dag["serialized"] == name and dag["doc"] for name, dag in laptop["dags"].items())


def test_tasks_and_order_of_the_daily_one(laptop):
    spark = "SparkSubmitOperator"
    assert {name: [kind, down] for name, (kind, _, down) in laptop["dags"]["adlens_daily"]["tasks"].items()} == {
        "impressions": [spark, ["quality"]],
        "quality": [spark, ["features", "groups"]],
        "features": [spark, ["materialise"]],
        "materialise": [spark, ["release"]],
        "groups": [spark, ["release", "served_quality"]],
        "release": ["BashOperator", []],
        "served_quality": ["BashOperator", []],
    }
    assert laptop["arguments"]["quality"][:2] == ["quality", "--start"] and len(laptop["arguments"]["quality"]) == 3
    assert laptop["arguments"]["groups"][-1] == "--catch-up"


def test_the_others_call_their_stages(laptop):
    words = [word for word in laptop["arguments"]["rebuild"] if not word.startswith("{{")]
    assert words == ["rebuild", "--start", "--end", "--most"]


def test_groups_of_a_range_wait_for_its_features(laptop):
    """Groups of the range's second day need the snapshot of its first, which the same run makes."""
    down = {name: task[2] for name, task in laptop["dags"]["adlens_backfill"]["tasks"].items()}
    assert down.pop("days") == sorted(("impressions", "quality", "features", "groups"))
    assert down == {
        "impressions": ["quality"],
        "quality": ["features"],
        "features": ["groups", "materialise"],
        "groups": ["release"],
        "materialise": ["release"],
        "release": [],
    }


def rendered(text: str, conf: dict | None, logical_date: datetime | None, run_type: str) -> list[str]:
    """As Airflow would: a scheduled run's interval ends a week after its logical date."""
    run = {"conf": conf, "run_type": run_type}
    values = {"at_latest": interval.at_latest, "time_zone": "UTC", "dag_run": run}
    if logical_date:
        values |= {"logical_date": logical_date, "data_interval_end": logical_date + timedelta(days=7)}
    return jinja2.Template(text).render(values).split()


@pytest.mark.parametrize(
    "conf, logical_date, run_type, words",
    [
        ({}, datetime(2026, 2, 8, 5, tzinfo=UTC), "scheduled", ["--at-latest", "2026-02-14"]),
        (None, None, "manual", ["--at-latest", "newest"]),
        ({"day": "2026-02-03"}, None, "manual", ["--start", "2026-02-03"]),
    ],
)
def test_maintenance_of_tables_and_release_counts_from_one_day(laptop, conf, logical_date, run_type, words):
    """A named day must be published; the clock's is a bound only, so a refused Saturday stops nothing."""
    assert {name: task[::2] for name, task in laptop["dags"]["adlens_maintenance"]["tasks"].items()} == {
        "maintain": ["SparkSubmitOperator", ["tidy"]],
        "tidy": ["BashOperator", []],
    }
    of_tables = rendered(" ".join(laptop["arguments"]["maintain"]), conf, logical_date, run_type)
    of_release = rendered(laptop["tidy"], conf, logical_date, run_type)
    assert of_tables == ["maintain", *words]
    assert of_release == [sys.executable, "-m", "release", "tidy", *words]


def test_maintenance_says_where_its_rules_are(laptop, cluster):
    assert "docs/tables.md" in laptop["dags"]["adlens_maintenance"]["doc"]
    assert (REPOSITORY / "docs" / "tables.md").read_text().count("## Maintenance") == 1
    assert cluster["dags"]["adlens_maintenance"]["tasks"]["tidy"][1] == "adlens_release"  # never beside a publication


def test_a_failed_task_is_tried_again_with_back_off_and_ends_in_time(laptop):
    for name, task in laptop["daily"].items():
        assert (task["retries"], task["backoff"], task["policy"]) == (2, 3, "ByExitCode"), name
        assert (
            task["timeout"] == Settings().stage_timeout_minutes * 60 and task["doc"] and task["rule"] == "none_failed"
        )


def test_one_day_at_a_time_in_any_order(laptop, cluster):
    for read in (laptop, cluster):
        daily = read["dags"]["adlens_daily"]
        assert daily["runs"] == 1 and not daily["catchup"] and not daily["past"] and daily["deadline"]


def test_runs_are_asked_for_on_a_laptop_and_go_by_the_clock_elsewhere(laptop, cluster):
    names = ("adlens_daily", "adlens_maintenance", "adlens_rebuild", "adlens_table")
    assert {laptop["dags"][name]["timetable"] for name in names} == {"OnRequest"}
    assert {cluster["dags"][name]["timetable"] for name in names} == {"CronDataIntervalTimetable"}
    for read in (laptop, cluster):
        assert read["dags"]["adlens_backfill"]["timetable"] == "NullTimetable"


def test_whoever_moves_the_alias_is_answered_whatever_the_schedule_is(laptop, cluster):
    for read in (laptop, cluster):
        dags = dict(read["dags"])
        asked = dags.pop("adlens_promotion")
        assert (asked["timetable"], asked["when"], asked["paused"]) == (
            "CronDataIntervalTimetable", "*/5 * * * *", False,
        )  # fmt: skip
        assert {dag["paused"] for dag in dags.values()} == {None}, "the others: as Airflow is set, paused"


def test_places(laptop, cluster):
    on_cluster = {name: pool for name, (_, pool, _) in cluster["dags"]["adlens_daily"]["tasks"].items()}
    assert on_cluster == {
        "impressions": "adlens_log", "quality": "adlens_log", "features": "adlens_data", "groups": "adlens_data",
        "materialise": "adlens_release", "release": "adlens_release", "served_quality": "adlens_release",
    }  # fmt: skip
    assert {task[1] for dag in laptop["dags"].values() for name, task in dag["tasks"].items() if name != "days"} == {
        "adlens_data"
    }
    assert {task["slots"] for task in laptop["daily"].values()} == {1}


@pytest.mark.parametrize(
    "settings, sizes, quality",
    [
        (Settings(), (1, 1, 1), ("adlens_data", 1)),
        (Settings(data_slots=3), (1, 3, 1), ("adlens_data", 3)),  # alone on the one machine: it takes all of the slots
        (Settings(spark_master="k8s://https://host"), (1, 4, 1), ("adlens_log", 1)),
    ],
)
def test_pools(settings, sizes, quality):
    declared = pools.declared(settings)
    assert tuple(declared[f"adlens_{kind}"]["slots"] for kind in ("log", "data", "release")) == sizes
    assert tuple(pools.place(settings, "log").values()) == quality
    assert pools.place(settings, "data")["pool_slots"] == 1


def test_every_table_is_the_outlet_of_one_task(laptop):
    found = [name for task in laptop["daily"].values() for name in task["outlets"]]
    assert len(found) == len(set(found))
    mine = {name for name, table in declared(Settings()).items() if name in found}
    assert {"impressions", "clicks", "ads", "user_features", "ad_features", "ad_groups", "user_groups"} <= mine
    assert set(laptop["daily"]["groups"]["outlets"]) == {"ad_groups", "user_groups", "group_figures"}
    assert laptop["daily"]["impressions"]["outlets"] == []  # what it writes is read only after the audit
    assert "publication_log" in laptop["daily"]["release"]["outlets"]


def test_params_are_typed_and_checked(laptop):
    assert laptop["taken"] == [True] * len(GOOD) + [False] * len(BAD)
    for dag in laptop["dags"].values():
        for name, schema in dag["params"].items():
            assert schema["type"] and schema["title"], name


def test_range_of_stages_and_dry_run(laptop):
    whole, alone, after, before, dry = laptop["skipped"]
    assert whole is None and alone is None
    assert after == "groups is not between release and release"
    assert before == "groups is not between impressions and quality"
    assert dry.startswith("dry run; would run: python -m spark_jobs groups --start ")
