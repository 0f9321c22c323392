"""`adlens day`: what is missing before the day, the day through Airflow, and what came of it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from rich.console import Console

from adlens import airflow_home, failure, services, summary
from adlens.day_choice import GENERATED_FIRST, choose
from adlens.environment import child_environment
from adlens.landing_memory import landed_days, settle
from adlens.progress import Progress
from contracts import history, paths
from contracts.days import parse_day
from contracts.delta_dataset import dataset
from contracts.errors import AdLensError
from contracts.settings import Settings, load


class DayFailed(AdLensError):
    """A stage stopped; `stage` says which and `code` how."""

    def __init__(self, stage: str, cause: str, log: Path, code: int = 1):
        super().__init__(cause)
        self.stage, self.log, self.exit_code = stage, log, code or 1


def _settled(asked: Path | None) -> tuple[Settings, bool]:
    """The settings with the home's own landing folder in them, and whether the data are generated."""
    first = load()
    folder = settle(first, asked or first.landing)
    if folder is not None:
        os.environ["ADLENS_LANDING"] = str(folder)  # this process's own, so that load() and children agree
    return load(), folder is None


def latest_run(settings: Settings) -> date | None:
    """The latest day whose run came to its end, whatever its gate said."""
    days = {file.parent.name for file in (settings.home_path / "runs").glob("*/8-publish.json")}
    from deltalake import DeltaTable

    log = paths.table(settings, "publication_log")
    if DeltaTable.is_deltatable(log):
        days |= set(dataset(DeltaTable(log)).to_table(columns=["day"]).column("day").to_pylist())
    return parse_day(max(days)) if days else None


def _run(command: Sequence[str], settings: Settings, log: Path, stage: str) -> None:
    """`python -m command`, its output to the log. Raises DayFailed with the cause."""
    at = log.stat().st_size if log.is_file() else 0
    with log.open("ab") as out:
        done = subprocess.run(
            [sys.executable, "-m", *command], env=child_environment(settings), stdout=out, stderr=subprocess.STDOUT
        )
    if done.returncode != 0:
        raise DayFailed(stage, failure.cause([_tail(log, at)]), log, done.returncode)


def _tail(log: Path, start: int) -> Path:
    """What a log holds from `start` on, beside it: a cause is looked for in the last command's words only."""
    part = log.with_suffix(".last")
    with log.open("rb") as whole:
        whole.seek(start)
        part.write_bytes(whole.read())
    return part


def _generate(settings: Settings, day: date, log: Path, console: Console) -> None:
    """The default landing days up to `day`, and the one after it, in whose first hour late clicks of `day` land."""
    landed = set(landed_days(settings.landing_path))
    end = day + timedelta(days=2)
    wanted = [GENERATED_FIRST + timedelta(days=n) for n in range((end - GENERATED_FIRST).days)]
    for start, stop in history.ranges([one for one in wanted if one not in landed]):
        with console.status(f"  making the landing data of [{start}, {stop})"):
            began = time.monotonic()
            command = ["landing", "generate", "--start", str(start), "--end", str(stop)]
            _run([*command, "--out", str(settings.landing_path)], settings, log, "landing data")
        console.print(f"  done  landing data     {time.monotonic() - began:7.1f} s   [{start}, {stop})")


def _build_history(
    settings: Settings, first: date, day: date, landed: list[date] | None, log: Path, console: Console
) -> None:
    """One ranged pass of each job over the days that are not built yet."""
    for step in history.passes(settings, first, day, landed):
        span = f"[{step.start}, {step.end})"
        began = time.monotonic()
        with console.status(f"  history: {step.stage} of {span}"):
            _run(step.command, settings, log, f"history, {step.stage} of {span}")
        console.print(f"  done  history {step.stage:<12} {time.monotonic() - began:5.1f} s   {span}")


def _in_process(settings: Settings, progress: Progress, log: Path, console: Console) -> bool:
    """Through `airflow dags test`. Returns whether every task succeeded."""
    airflow_home.prepare(settings, log)
    with log.open("ab") as out:
        child = subprocess.Popen(
            airflow_home.test_command(progress.day),
            env=airflow_home.test_environment(settings), stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            progress.follow(console, lambda: child.poll() is None)
        finally:
            if child.poll() is None:  # Ctrl-C: the run, Spark and training end with the person who asked for it
                services.end_group(child.pid)
                child.wait()
    return child.returncode == 0


def _through_scheduler(
    settings: Settings, running: services.Running, progress: Progress, console: Console
) -> tuple[bool, list[Path]]:
    """Through the API of the Airflow that `adlens up` started. Returns success, and the tasks' logs."""
    api = running.api(settings)
    run_id = api.trigger(progress.day)
    state = ["queued"]

    def still() -> bool:
        state[0] = api.state(run_id)
        return state[0] in ("queued", "running")

    progress.follow(console, still, every=2.0)
    return state[0] == "success", airflow_home.task_logs(settings, run_id)


def run(asked_day: str | None, asked_landing: Path | None, console: Console) -> str:
    """Returns the day that ran. Raises AdLensError; DayFailed where a stage stopped."""
    settings, generated = _settled(asked_landing)
    child_environment(settings)  # says now that Java is missing, not after minutes
    landed = None if generated else landed_days(settings.landing_path)
    first, day = choose(settings, parse_day(asked_day) if asked_day else None, latest_run(settings), landed)
    log = paths.logs(settings) / f"day-{day}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    source = "generated landing data" if generated else str(settings.landing_path)
    console.print(f"[bold]AdLens, run of {day}[/bold] on {source}; details go to {log}")
    if generated:
        _generate(settings, day, log, console)
    _build_history(settings, first, day, landed, log, console)

    progress = Progress(settings, day.isoformat(), time.time())
    start = log.stat().st_size if log.is_file() else 0
    running = services.running(settings)
    if running is not None:
        running.check_landing(settings)
        ok, logs = _through_scheduler(settings, running, progress, console)
    else:
        ok = _in_process(settings, progress, log, console)
        logs = [_tail(log, start)]
    left = progress.working()
    if not ok or left:  # a run that Airflow calls a success without a stage's report is none
        cause = failure.cause(logs) if not ok else "Airflow ended the run as a success, but this stage never reported"
        raise DayFailed(left or "after the last stage", cause, logs[-1] if running and logs else log)
    summary.show(settings, day.isoformat(), console)
    return day.isoformat()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="adlens day", description=__doc__)
    parser.add_argument("--day", metavar="YYYY-MM-DD", help="default: after the latest run")
    parser.add_argument("--landing", type=Path, metavar="FOLDER", help="your own landing data")
    asked = parser.parse_args(argv)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    began = time.monotonic()
    try:
        run(asked.day, asked.landing, console)
    except DayFailed as failed:
        again = " ".join(["adlens day", *(["--day", asked.day] if asked.day else [])])
        console.print(f"\n[bold red]stopped[/bold red] in {failed.stage}", soft_wrap=True)
        then = f"then:  {again}   (or `make day`) goes on from here"
        for line in (f"cause: {failed}", f"log:   {failed.log}", then):
            console.print(f"  {line}", markup=False, soft_wrap=True)
        return failed.exit_code
    except AdLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    console.print(f"{time.monotonic() - began:.0f} s in all")
    return 0


