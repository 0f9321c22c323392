"""Killed between any two commits: every attempt makes exactly one more, until one has no further to make.

A commit is what others can see from then on: a Delta commit of Spark (a write, a table made or altered, rows deleted,
files put together or removed) or of deltalake, a file that takes its name, a batch in the online store, Feast's
registry. They are counted where all of them pass, whatever module asks for one.
"""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from spark_jobs import impressions, quality

# Delta's SQL that commits; what only reads is no boundary.
COMMITS = re.compile(r"\s*(CREATE TABLE|ALTER|DELETE|UPDATE|MERGE|OPTIMIZE|VACUUM)\b")


class Killed(BaseException):
    """As a kill does, it passes every `except Exception`."""


class Count:
    """How many commits whose name begins with `kind` are still allowed; at which one it died."""

    def __init__(self, allowed: int, kind: str) -> None:
        self.left, self.kind, self.died_at = allowed, kind, ""

    def pass_or_die(self, what: str) -> None:
        if not what.startswith(self.kind):
            return
        if self.left == 0:
            self.died_at = self.died_at or what
            raise Killed
        self.left -= 1

    def counted(self, real: Callable[..., Any], name: Callable[..., str | None]) -> Callable[..., Any]:
        """`name` says which commit a call is; None: none."""

        def commit(*args: Any, **kwargs: Any) -> Any:
            if what := name(*args, **kwargs):
                self.pass_or_die(what)
            return real(*args, **kwargs)

        return commit


def _statement(_: object, text: str, *rest: object, **more: object) -> str | None:
    return text if COMMITS.match(text) else None


def _renamed(draft: object, path: str | Path) -> str:
    return f"file {Path(path).name}"


@contextmanager
def killed_after(commits: int, kind: str = "") -> Iterator[Count]:
    """Dies when so many commits (of a kind) have been made; one writer at a time, so that their order is the same."""
    import deltalake
    from feast import FeatureStore
    from pyspark.sql import DataFrameWriter, SparkSession

    from spark_jobs import maintain, online_erase

    count = Count(commits, kind)
    places: list[tuple[Any, str, Callable[..., str | None]]] = [
        (os, "replace", _renamed),
        (SparkSession, "sql", _statement),
        (DataFrameWriter, "save", lambda writer, where, *rest, **more: f"write {where}"),
        (deltalake, "write_deltalake", lambda where, *rest, **more: f"append {where}"),
        (deltalake.DeltaTable, "create_checkpoint", lambda table: f"checkpoint {table.table_uri}"),
        (maintain, "_compute_statistics", lambda spark, where: f"statistics {where}"),
        (online_erase, "erase", lambda settings, user_id: "online store without the person"),
        (FeatureStore, "apply", lambda *rest, **more: "registry"),
        (FeatureStore, "write_to_online_store", lambda store, view, *rest, **more: f"online {view}"),
    ]
    with ExitStack() as until:
        for owner, name, which in places:
            until.enter_context(mock.patch.object(owner, name, count.counted(getattr(owner, name), which)))
        for stage in (impressions, quality):
            until.enter_context(mock.patch.object(stage, "WRITERS", 1))
        yield count


def attempt(job: Callable[[], object], commits: int, kind: str = "") -> str:
    """Runs the job until so many commits; where it died, empty if it ended by itself."""
    with killed_after(commits, kind) as count:
        try:
            job()
            return ""
        except Killed:
            gc.collect()  # the stack that died holds frames, and with them Java's plans and what was broadcast
            return count.died_at


def every_boundary(job: Callable[[], object], kind: str = "") -> int:
    """Runs the job until it ends by itself, and kills it before each of its commits (of a kind) but the first. Returns
    the kills.

    Each attempt may make one commit, and from then on one more where it dies at a place a second time: some commits (a
    note that a load has begun) are made again at each attempt, and a release from quarantine that was killed is undone
    before it is done again.
    """
    allowed, seen = 1, set[str]()
    for kills in range(1_000):
        now = attempt(job, allowed, kind)
        if not now:
            return kills
        if now in seen:
            allowed, seen = allowed + 1, set()
        seen.add(now)
    raise AssertionError(f"a job that dies at every attempt never ends; the last time before {now}")


def some_boundaries(job: Callable[[], object], after: Sequence[int]) -> int:
    """Kills the job after each of these numbers of commits, then lets it end. Returns the kills."""
    kills = sum(bool(attempt(job, commits)) for commits in after)
    job()
    return kills
