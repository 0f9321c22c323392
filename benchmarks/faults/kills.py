"""SIGKILL to a whole process tree at random moments, again and again, until it ends by itself."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def until_done(
    command: Sequence[str], environment: Mapping[str, str], log: Path, kills: int, longest: float, rng: random.Random
) -> tuple[int, float]:
    """Starts the command, kills it after a time in [1, longest) seconds, and starts it again; after `kills` of them it
    may end. Returns how often it was killed while alive, and the seconds of the last, undisturbed run."""
    killed = 0
    with log.open("wb") as out:
        while True:
            began = time.monotonic()
            child = subprocess.Popen(
                command, env=os.environ | environment, start_new_session=True, stdout=out, stderr=subprocess.STDOUT
            )
            if killed >= kills:
                code = child.wait()
                if code:
                    raise RuntimeError(f"{' '.join(command)} ended with {code}; see {log}")
                return killed, time.monotonic() - began
            try:
                child.wait(rng.uniform(1.0, longest))
            except subprocess.TimeoutExpired:
                killed += 1
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
