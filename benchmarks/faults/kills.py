"""SIGKILL at random moments, to a whole process tree or to Spark's JVM alone, until the command ends by itself."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil


def until_done(
    command: Sequence[str], environment: Mapping[str, str], log: Path, kills: int, longest: float, rng: random.Random,
    spark_alone: float = 0.0,
) -> tuple[int, float]:  # fmt: skip
    """Kills after a time in [1, longest) seconds: the command, which is then started again, or with the probability
    `spark_alone` only the JVM below it, so that whoever started that must cope. After `kills` of them it may end.

    Returns how often something alive was killed, and the seconds of the last, undisturbed run. Raises RuntimeError when
    that fails.
    """
    killed, child = 0, None
    with log.open("wb") as out:
        while True:
            if child is None:
                began = time.monotonic()
                child = subprocess.Popen(
                    command, env=os.environ | environment, start_new_session=True, stdout=out, stderr=subprocess.STDOUT
                )
                if killed >= kills:
                    if code := child.wait():
                        raise RuntimeError(f"{' '.join(command)} ended with {code}; see {log}")
                    return killed, time.monotonic() - began
            try:
                child.wait(rng.uniform(1.0, longest))
                child = None
            except subprocess.TimeoutExpired:
                if rng.random() < spark_alone:
                    killed += _kill_java(child.pid)
                    continue
                killed += 1
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                child = None


def _kill_java(above: int) -> int:
    """Kills the JVMs below a process; returns how many."""
    found = 0
    for one in psutil.Process(above).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if one.name() == "java":
                one.kill()
                found += 1
    return found
