"""The local services' login, and that `down` ends only what `up` started."""

import json
import os
import stat
import subprocess
import threading

import pytest
from starlette.testclient import TestClient

from adlens import credentials, services
from adlens.doors import docs_app, guarded
from contracts.errors import SettingsError
from contracts.settings import Settings


def test_credentials_are_made_once_for_the_owner_only(tmp_path):
    settings = Settings(home=tmp_path)
    made, new = credentials.load(settings)
    assert new and len(made["password"]) >= 16
    assert credentials.load(settings) == (made, False)
    assert stat.S_IMODE(os.stat(tmp_path / "credentials.json").st_mode) == 0o600


@pytest.mark.parametrize("login, answer", [(None, 401), (("adlens", "wrong"), 401), (("adlens", "right"), 200)])
def test_data_docs_stand_behind_the_login(tmp_path, login, answer):
    (tmp_path / "gx" / "site").mkdir(parents=True)
    (tmp_path / "gx" / "site" / "index.html").write_text("the audit")
    client = TestClient(guarded(docs_app(Settings(home=tmp_path)), "adlens", "right"))
    for path in ("/", "/files/site/index.html"):  # the top leads to the index
        page = client.get(path, auth=login)
        assert page.status_code == answer and ("the audit" in page.text) == (answer == 200)
    (tmp_path / "gx" / "site" / "index.html").unlink()
    assert ("run a day" in client.get("/", auth=login).text) == (answer == 200)
    assert client.get("/health").status_code == 200


def _note(tmp_path, pid: int, started: str) -> Settings:
    names = (*services.AIRFLOW, "mlflow", "docs")
    note = {
        "pids": dict.fromkeys(names, pid), "started": dict.fromkeys(names, started),
        "ports": services.PORTS, "landing": "/elsewhere",
    }  # fmt: skip
    (tmp_path / "up.json").write_text(json.dumps(note))
    return Settings(home=tmp_path)


def test_a_pid_that_became_another_process_is_left_alone(tmp_path):
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        settings = _note(tmp_path, other.pid, "Thu Jan  1 00:00:00 1970")
        assert services.running(settings) is None
        assert services.down(settings) == [] and other.poll() is None
        assert not (tmp_path / "up.json").exists()
    finally:
        other.kill()
        other.wait()


def test_what_up_started_is_found_and_ended(tmp_path):
    ours = subprocess.Popen(["sleep", "60"], start_new_session=True)
    settings = _note(tmp_path, ours.pid, services._start_time(ours.pid) or "")
    here = services.running(settings)
    assert here is not None
    with pytest.raises(SettingsError, match="/elsewhere"):
        here.check_landing(settings)
    assert set(services.down(settings)) == {*services.AIRFLOW, "mlflow", "docs"}
    assert services._start_time(ours.pid) is None


def test_down_without_up_does_nothing(tmp_path):
    assert services.down(Settings(home=tmp_path)) == []


def test_a_second_up_waits_until_the_first_has_its_ports():
    order = []

    def second():
        with services.alone():
            order.append("second")

    waiting = threading.Thread(target=second)
    with services.alone():
        waiting.start()
        waiting.join(timeout=0.3)
        order.append("first")
    waiting.join(timeout=10)
    assert order == ["first", "second"]
