"""Killed between any two commits: every attempt makes exactly one more, until one has no further to make."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from contracts import artifacts
from spark_jobs import delta, impressions


class Killed(BaseException):
    """As a kill does, it passes every `except Exception`."""


@contextmanager
def killed_after(commits: int) -> Iterator[None]:
    """Dies when so many Delta commits and file switches have been made; one writer at a time, so that the order is
    always the same."""
    left = commits

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def commit(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return real(*args, **kwargs)

        return commit

    with (
        mock.patch.object(delta, "_overwrite", counted(delta._overwrite)),
        mock.patch.object(artifacts, "write_atomically", counted(artifacts.write_atomically)),
        mock.patch.object(impressions, "WRITERS", 1),
    ):
        yield


def every_boundary(stage: Callable[[], object]) -> int:
    """Runs the stage until it ends by itself, one commit an attempt. Returns the attempts that were killed: one less
    than an undisturbed run has commits."""
    for kills in range(1_000):
        try:
            with killed_after(1):
                stage()
            return kills
        except Killed:
            gc.collect()  # the stack that died holds frames, and with them Java's plans and what was broadcast
    raise AssertionError("a stage that writes something new at every attempt never ends")
