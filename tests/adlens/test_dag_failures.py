"""What follows on a failure: another try or none, by the stage's exit code; and the alert, as a webhook receives it."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from adlens import airflow_home
from contracts.errors import AdLensError, InputError, MissingArtifact, QualityStop, SettingsError
from contracts.settings import Settings
from dags import alerts

# Both operators run a command that ends with the code; the task's own policy judges what they raise.
_FAIL = """
import json, sys
from airflow.sdk import DAG
from dags import stages
from dags.alerts import cause
found = {}
for code in json.loads(sys.argv[1]):
    with DAG(f"dag_{code}", default_args=stages.COMMON):
        spark = stages.spark("quality", "--start", str(code))
        bash = stages.command("release", f"echo error: the pipeline says so; exit {code}")
    for task, run in ((spark, lambda: spark._get_hook().submit(spark.application)), (bash, lambda: bash.execute({}))):
        try:
            run()
        except Exception as failure:
            decision = task.retry_policy.evaluate(failure, 1, 2)
            found[f"{task.task_id} {code}"] = [decision.action.value, decision.reason, cause(failure)]
print(json.dumps(found))
"""
FAKE_SPARK_SUBMIT = """#!/usr/bin/env bash
set -euo pipefail
echo "error: the folder of 2026-02-03 is empty"
while [[ $1 != --start ]]; do shift; done
exit "$2"
"""
FINAL, OTHER = (InputError, QualityStop, SettingsError), (AdLensError, MissingArtifact)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    submit = home / "spark-submit"
    submit.write_text(FAKE_SPARK_SUBMIT)
    submit.chmod(0o755)
    environment = airflow_home.environment(Settings(home=home))
    environment["PATH"] = f"{home}:{environment['PATH']}"
    codes = [error.exit_code for error in (*FINAL, *OTHER)] + [137]
    done = subprocess.run(
        [sys.executable, "-c", _FAIL, json.dumps(codes)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("task", ["quality", "release"])
def test_bad_input_a_refused_day_and_an_impossible_setting_are_not_tried_again(judged, task):
    for error in FINAL:
        action, reason, _ = judged[f"{task} {error.exit_code}"]
        assert action == "fail" and error.__name__ in reason


@pytest.mark.parametrize("task", ["quality", "release"])
def test_everything_else_is(judged, task):
    for code in (*(error.exit_code for error in OTHER), 137):
        assert judged[f"{task} {code}"][0] == "default"


def test_the_cause_is_the_stages_own_words(judged):
    assert judged["quality 2"][2] == "the folder of 2026-02-03 is empty"


class Receiver(HTTPServer):
    """Keeps what is posted; answers with `status`."""

    def __init__(self, status: int = 200):
        self.got: list[dict] = []
        self.status = status
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answer(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append({"type": self.headers["Content-Type"], **json.loads(body)})
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def webhook(monkeypatch, tmp_path, request):
    receiver = Receiver(getattr(request, "param", 200))
    monkeypatch.setenv("ADLENS_LANDING", str(tmp_path))
    monkeypatch.setenv("ADLENS_ALERT_WEBHOOK", "TEAM_WEBHOOK")
    monkeypatch.setenv("TEAM_WEBHOOK", f"http://127.0.0.1:{receiver.server_port}/services/a-secret")
    yield receiver
    receiver.shutdown()
    receiver.server_close()


FAILED = {
    "ti": SimpleNamespace(dag_id="adlens_daily", task_id="quality", try_number=1, log_url="http://airflow/log"),
    "dag_run": SimpleNamespace(run_id="day__2026-02-03__1"),
    "exception": RuntimeError("Error code is: 4.\nLast spark-submit output:\nerror: the audit refused 2026-02-03\n"),
}


def late(run_type: str) -> dict:
    return {
        "dag_run": {"dag_id": "adlens_daily", "dag_run_id": "scheduled__2026-02-04", "run_type": run_type},
        "deadline": {"id": "1", "deadline_time": "2026-02-04T06:00:00Z"},
    }


@pytest.mark.parametrize(
    ("last_line", "posted"),
    [
        ("alarm: 2026-02-01: auc 0.6100 has left its band: at least 0.6800", 1),
        ("served on 2026-02-01: auc 0.7000, gauc 0.6900, calibration 1.0100", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_what_left_its_band_is_posted_though_nothing_failed(webhook, last_line, posted):
    task = SimpleNamespace(dag_id="adlens_daily", task_id="served_quality", xcom_pull=lambda task_ids: last_line)
    alerts.quality_left_band({"ti": task, "dag_run": SimpleNamespace(run_id="r1")})
    assert len(webhook.got) == posted
    for got in webhook.got:
        assert (got["event"], got["run"]) == ("served_quality", "r1") and "auc 0.6100" in got["text"]


def test_a_failed_task_is_posted(webhook):
    alerts.task_failed(FAILED)
    (got,) = webhook.got
    assert got == {
        "type": "application/json", "event": "task_failed", "dag": "adlens_daily", "run": "day__2026-02-03__1",
        "task": "quality", "try": 1, "error": "the audit refused 2026-02-03", "log": "http://airflow/log",
        "text": "AdLens: quality of adlens_daily failed (day__2026-02-03__1): the audit refused 2026-02-03",
    }  # fmt: skip


def test_a_late_run_is_posted_unless_it_waits_in_a_backfill(webhook):
    alerts.deadline_missed(late("scheduled"))
    alerts.deadline_missed(late("backfill"))
    (got,) = webhook.got
    assert (got["event"], got["run"], got["due"]) == (
        "deadline_missed", "scheduled__2026-02-04", "2026-02-04T06:00:00Z",
    )  # fmt: skip


@pytest.mark.parametrize("webhook", [500], indirect=True)
def test_an_alert_that_is_not_taken_is_logged_without_the_address(webhook, caplog):
    assert alerts.send({"event": "x"}) is False
    assert "not delivered (500)" in caplog.text and "a-secret" not in caplog.text


@pytest.mark.parametrize(
    "url, said",
    [
        ("", "TEAM_WEBHOOK holds no http"),
        ("ftp://a-secret", "holds no http"),
        ("http://a-secret:99999/", "not delivered ("),
    ],
)
def test_a_webhook_that_cannot_be_is_named_by_its_variable(url, said, webhook, monkeypatch, caplog):
    monkeypatch.setenv("TEAM_WEBHOOK", url)
    assert alerts.send({"event": "x"}) is False
    assert said in caplog.text and "a-secret" not in caplog.text


def test_without_a_webhook_the_log_says_it(monkeypatch, tmp_path, caplog):
    monkeypatch.delenv("ADLENS_ALERT_WEBHOOK", raising=False)
    monkeypatch.setenv("ADLENS_LANDING", str(tmp_path))
    alerts.task_failed(FAILED)
    assert "the audit refused 2026-02-03" in caplog.text
