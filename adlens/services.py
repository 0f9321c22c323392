"""`adlens up` and `adlens down`: Airflow, MLflow and Data Docs on loopback, with one login for the three."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from adlens import airflow_home, credentials
from contracts import paths
from contracts.artifacts import write_atomically
from contracts.errors import PrerequisiteError, SettingsError
from contracts.settings import Settings, load

AIRFLOW = ("api-server", "scheduler", "dag-processor")  # not `standalone`: it serves its logs to all addresses
PORTS = {"airflow": 8080, "mlflow": 5000, "docs": 8090}  # wished for; another free one where taken
HEALTH = {"airflow": "/api/v2/monitor/health", "mlflow": "/health", "docs": "/health"}
PATIENCE = 180.0  # seconds until all answer


@dataclass(frozen=True)
class Running:
    """What `<home>/up.json` holds. `started`: the processes' start times, so that a reused pid is not ours."""

    pids: dict[str, int]
    started: dict[str, str]
    ports: dict[str, int]
    landing: str

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def api(self, settings: Settings) -> airflow_home.Api:
        login, _ = credentials.load(settings)
        return airflow_home.Api(self.address("airflow"), login["user"], login["password"])

    def check_landing(self, settings: Settings) -> None:
        """Raises SettingsError when Airflow was started for another landing folder than the run's."""
        if self.landing != str(settings.landing_path):
            raise SettingsError(
                f"Airflow was started with the landing folder {self.landing}, and this run's is "
                f"{settings.landing_path}; `adlens down` and `adlens up`, then run the day again"
            )


def _note(settings: Settings) -> Path:
    return settings.home_path / "up.json"


def _start_time(pid: int) -> str | None:
    """The process's start as `ps` prints it; None where it does not run (or is a zombie)."""
    try:
        command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
        said = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:  # no ps: fall back on the signal alone
        try:
            os.kill(pid, 0)
            return "running"
        except OSError:
            return None
    state, _, started = said.partition(" ")
    return None if not said or state.startswith("Z") else started.strip()


def running(settings: Settings) -> Running | None:
    """The services of this home if Airflow's processes are still ours and alive."""
    note = _note(settings)
    if not note.is_file():
        return None
    found = Running(**json.loads(note.read_text(encoding="utf-8")))
    return found if all(_start_time(found.pids[name]) == found.started[name] for name in AIRFLOW) else None


@contextmanager
def alone() -> Iterator[None]:
    """One `adlens up` of this person at a time on this machine, whatever its home: two would pick the same port."""
    lock = os.open(
        Path(tempfile.gettempdir()) / f"adlens-up-{os.getuid()}.lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600
    )
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _free_port(wished: int) -> int:
    for port in (wished, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
            except OSError:
                continue
    raise PrerequisiteError("no free port on 127.0.0.1")


def service_environment(settings: Settings, ports: dict[str, int], login: dict[str, str]) -> dict[str, str]:
    """Airflow's environment with its login, on loopback."""
    home = airflow_home.home(settings)
    passwords = home / "passwords.json"
    home.mkdir(parents=True, exist_ok=True)
    passwords.touch(0o600)
    passwords.write_text(json.dumps({login["user"]: login["password"]}), encoding="utf-8")
    address = f"http://127.0.0.1:{ports['airflow']}"
    return airflow_home.environment(settings) | {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{login['user']}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API_AUTH__JWT_SECRET": login["jwt_secret"],
        "AIRFLOW__API__SECRET_KEY": login["jwt_secret"],
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(ports["airflow"]),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
    }


def _healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            text = answer.read().decode(errors="replace")
    except (OSError, urllib.error.HTTPError):
        return False
    try:
        parts = json.loads(text)
    except ValueError:
        return True
    if not isinstance(parts, dict):
        return True
    needed = ("metadatabase", "scheduler", "dag_processor")
    return all(parts[name].get("status") == "healthy" for name in needed if name in parts)


def up(settings: Settings) -> Running:
    """Starts the three and waits until they answer. Raises PrerequisiteError with the log of the one that does not."""
    with alone():
        return _up(settings)


def _up(settings: Settings) -> Running:
    there = running(settings)
    if there is not None:
        return there
    down(settings)  # what is left of services whose Airflow died
    logs = paths.logs(settings)
    logs.mkdir(parents=True, exist_ok=True)
    airflow_home.prepare(settings, logs / "airflow.log")
    airflow_home.prepare_pools(settings, logs / "airflow.log")
    login, _ = credentials.load(settings)
    ports = {name: _free_port(wished) for name, wished in PORTS.items()}
    environment = service_environment(settings, ports, login)
    commands = {
        "api-server": [airflow_home.airflow(), "api-server"],
        "scheduler": [airflow_home.airflow(), "scheduler", "--skip-serve-logs"],
        "dag-processor": [airflow_home.airflow(), "dag-processor"],
        "mlflow": [sys.executable, "-m", "adlens.doors", "mlflow", "--port", str(ports["mlflow"])],
        "docs": [sys.executable, "-m", "adlens.doors", "docs", "--port", str(ports["docs"])],
    }
    pids: dict[str, int] = {}
    for name, command in commands.items():
        with (logs / f"{name}.log").open("ab") as out:
            child = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        pids[name] = child.pid
    started = {name: _start_time(pid) or "" for name, pid in pids.items()}
    here = Running(pids, started, ports, str(settings.landing_path))
    write_atomically(_note(settings), json.dumps(asdict(here)) + "\n")
    waiting, until = set(commands), time.monotonic() + PATIENCE
    while waiting:
        for name in sorted(waiting):
            if _start_time(pids[name]) is None or time.monotonic() > until:
                down(settings)
                raise PrerequisiteError(f"{name} did not come up; see {logs / f'{name}.log'}")
            page = "airflow" if name in AIRFLOW else name  # the API server answers for all of Airflow
            if _healthy(here.address(page) + HEALTH[page]):
                waiting.discard(name)
        time.sleep(1 if waiting else 0)
    api = here.api(settings)
    while not api.known():
        if time.monotonic() > until:
            down(settings)
            raise PrerequisiteError(f"Airflow did not read dags/daily.py; see {logs / 'dag-processor.log'}")
        time.sleep(1)
    return here


def down(settings: Settings) -> list[str]:
    """Stops what `up` started, each with its children. Returns the names."""
    note = _note(settings)
    if not note.is_file():
        return []
    here = Running(**json.loads(note.read_text(encoding="utf-8")))
    ours = [name for name, pid in here.pids.items() if _start_time(pid) == here.started[name]]
    end_group(*(here.pids[name] for name in ours))
    note.unlink()
    return ours


def end_group(*groups: int) -> None:
    """Asks process groups to end, and ends those that have not after 20 s."""
    for how, patience in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0)):
        for group in groups:
            _signal_group(group, how)
        until = time.monotonic() + patience
        while time.monotonic() < until and any(_group_lives(group) for group in groups):
            time.sleep(0.2)


def _signal_group(group: int, how: signal.Signals) -> None:
    """Each service leads its own process group (start_new_session)."""
    try:
        os.killpg(group, how)
    except OSError:
        pass


def _group_lives(group: int) -> bool:
    try:
        os.waitpid(group, os.WNOHANG)  # our own child's zombie would count as alive
    except OSError:
        pass
    try:
        os.killpg(group, 0)
        return True
    except OSError:
        return False


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="adlens", description=__doc__)
    parser.add_argument("command", choices=("up", "down"))
    asked = parser.parse_args(argv)
    settings = load()
    if asked.command == "down":
        stopped = down(settings)
        print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
        return 0
    login, new = credentials.load(settings)
    here = up(settings)
    for name, what in (("airflow", "Airflow"), ("mlflow", "MLflow"), ("docs", "Data Docs")):
        print(f"  {what:<10} {here.address(name)}")
    where = settings.home_path / "credentials.json"
    shown = f"{login['user']} / {login['password']}, kept in " if new else "in "  # printed once
    print(f"  login      {shown}{where}")
    print("  `adlens day` now goes through this Airflow; `adlens down` stops the three")
    return 0
