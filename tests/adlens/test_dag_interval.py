"""Which business day a run is about: scheduled, manual, backfill, typed, without a date, across a change of clocks."""

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from adlens import airflow_home
from contracts.errors import InputError
from contracts.settings import Settings
from dags.interval import at_latest, chunks, days_between, last_whole_day, resolve_day, shifted

SHANGHAI, PACIFIC, BERLIN = "Asia/Shanghai", "America/Los_Angeles", "Europe/Berlin"
_RUNS = """
import json, sys
from airflow.sdk._shared.timezones.timezone import parse
from airflow.timetables.base import TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
from dags.on_request import OnRequest
found = []
for kind, cron, zone, first, last in json.loads(sys.argv[1]):
    timetable = {"cron": CronDataIntervalTimetable, "asked": OnRequest}[kind](cron, timezone=zone)
    timetable = type(timetable).deserialize(timetable.serialize())
    named, runs, info = TimeRestriction(parse(first), parse(last), catchup=True), [], None
    while info := timetable.next_dagrun_info(
        last_automated_data_interval=info.data_interval if info else None, restriction=named
    ):
        runs.append([info.logical_date.isoformat(), info.data_interval.end.isoformat(), info.run_after.isoformat()])
    clock = timetable.next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(parse(first), None, catchup=False)
    )
    found.append([runs, clock is not None])
print(json.dumps(found))
"""
RANGES = [
    ["cron", "0 2 * * *", "UTC", "2026-02-01", "2026-02-04"],
    ["asked", "0 2 * * *", "UTC", "2026-02-01", "2026-02-04"],
    ["cron", "0 2 * * *", BERLIN, "2026-03-27", "2026-03-31"],  # 02:00 of the 29th is not on the clock
    ["cron", "0 2 * * *", BERLIN, "2026-10-23", "2026-10-27"],  # 02:00 of the 25th is there twice
    ["cron", "0 16 * * *", PACIFIC, "2026-02-01", "2026-02-04"],  # a logical date of midnight UTC, of the next day
    ["cron", "0 5 * * 0", SHANGHAI, "2026-02-01", "2026-02-20"],
]


@pytest.fixture(scope="module")
def timetables(tmp_path_factory):
    environment = airflow_home.environment(Settings(home=tmp_path_factory.mktemp("home")))
    done = subprocess.run(
        [sys.executable, "-c", _RUNS, json.dumps(RANGES)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("which", range(5))
@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_each_day_has_one_run_also_where_the_clocks_change(timetables, which, run_type):
    zone, first, last = RANGES[which][2:]
    runs, _ = timetables[which]
    days = [resolve_day({}, datetime.fromisoformat(start), zone, run_type) for start, _, _ in runs]
    assert days == days_between(days[0], days[-1]) and set(days_between(first, last)[1:-1]) <= set(days)
    for day, (_, _, begins) in zip(days, runs, strict=True):  # window and grace are over
        over = datetime.combine(date.fromisoformat(shifted(day, 1)), datetime.min.time(), ZoneInfo(zone))
        assert datetime.fromisoformat(begins) >= over + timedelta(hours=1 if zone == BERLIN else 2)


def test_only_the_clock_starts_runs_by_itself(timetables):
    assert [clock for _, clock in timetables] == [True, False, True, True, True, True]
    assert timetables[0][0] == timetables[1][0]


def test_a_week_is_about_its_last_day(timetables):
    (start, end, _), *_ = timetables[5][0]
    day = last_whole_day({}, datetime.fromisoformat(start), datetime.fromisoformat(end), SHANGHAI, "scheduled")
    assert (start[:16], day) == (
        "2026-02-07T21:00",
        "2026-02-14",
    )  # Sunday 5:00 in Shanghai; the Saturday before the next
    asked = last_whole_day({"day": "2026-02-03"}, None, None, SHANGHAI)
    assert asked == "2026-02-03"


@pytest.mark.parametrize(
    "conf, logical_date, interval_end, run_type, bound",
    [
        ({}, datetime(2026, 2, 8, 5, tzinfo=UTC), datetime(2026, 2, 15, 5, tzinfo=UTC), "scheduled", "2026-02-14"),
        ({}, datetime(2026, 2, 18, 9, 3, tzinfo=UTC), datetime(2026, 2, 15, 5, tzinfo=UTC), "manual", "2026-02-18"),
        ({"day": None}, None, None, "manual", "newest"),
        (None, None, None, "manual", "newest"),
        ({"day": "2026-02-03"}, None, None, "manual", "2026-02-03"),
    ],
)
def test_up_to_which_day_a_run_maintains(conf, logical_date, interval_end, run_type, bound):
    assert at_latest(conf, logical_date, interval_end, "UTC", run_type) == bound


def test_the_default_schedule_is_window_and_grace_after_midnight():
    settings = Settings()
    assert settings.schedule == f"0 {(settings.attribution_window_minutes + settings.grace_minutes) // 60} * * *"


@pytest.mark.parametrize(
    "conf, logical_date, zone, run_type, day",
    [
        ({"day": "2026-02-03"}, None, "UTC", "manual", "2026-02-03"),  # through the API
        ({"day": "2026-02-03"}, datetime(2020, 1, 1, tzinfo=UTC), "UTC", "manual", "2026-02-03"),
        ({"day": None}, datetime(2026, 2, 3, tzinfo=UTC), "UTC", "manual", "2026-02-03"),  # airflow dags test ...
        (None, datetime(2026, 2, 3, tzinfo=UTC), SHANGHAI, "manual", "2026-02-03"),
        (None, datetime(2026, 2, 3, tzinfo=UTC), PACIFIC, "manual", "2026-02-03"),
        (None, datetime(2026, 2, 3, tzinfo=UTC), PACIFIC, "scheduled", "2026-02-02"),  # 16:00 of the day before
        (None, datetime(2026, 2, 3, tzinfo=ZoneInfo(SHANGHAI)), SHANGHAI, "manual", "2026-02-03"),
        (None, datetime(2026, 2, 3, 2, tzinfo=ZoneInfo(SHANGHAI)), SHANGHAI, "scheduled", "2026-02-03"),
        (None, datetime(2026, 2, 3, 2, tzinfo=ZoneInfo(PACIFIC)), PACIFIC, "backfill", "2026-02-03"),
    ],
)
def test_which_day(conf, logical_date, zone, run_type, day):
    assert resolve_day(conf, logical_date, zone, run_type) == day


def test_a_run_without_any_day_is_refused():
    with pytest.raises(InputError, match="no logical date"):
        resolve_day({}, None, "UTC")
    with pytest.raises(InputError, match="no logical date"):
        last_whole_day({}, None, None, "UTC")
    with pytest.raises(InputError, match="YYYY-MM-DD"):
        resolve_day({"day": "3 Feb"}, None, "UTC")


def test_ranges_of_days():
    assert days_between("2026-02-27", "2026-03-01") == ["2026-02-27", "2026-02-28", "2026-03-01"]
    assert chunks("2026-02-01", "2026-02-05", 2) == [
        ("2026-02-01", "2026-02-03"), ("2026-02-03", "2026-02-05"), ("2026-02-05", "2026-02-06"),
    ]  # fmt: skip
    assert chunks("2026-02-01", "2026-02-01", 8) == [("2026-02-01", "2026-02-02")]
    with pytest.raises(InputError, match="holds no day"):
        chunks("2026-02-02", "2026-02-01", 8)
