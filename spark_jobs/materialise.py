"""Stage 3's second half, the command `materialise`: the newest snapshot into Feast's online store, and a check of it.

The snapshot goes through this process in batches, so that its memory does not follow the number of rows; with the
setting `feast_engine` Spark's executors write it instead. Readers take the day from the note MATERIALISED, which is
written last: a load that is half done is no day yet, and LOADING remembers that it has begun.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pyspark.sql import SparkSession

from contracts import paths, verdicts
from contracts.artifacts import write_atomically
from contracts.days import Days, day_start
from contracts.errors import MissingArtifact
from contracts.report import StageReport
from contracts.settings import Settings
from spark_jobs import delta, feast_check, feast_store, snapshot_rows

if TYPE_CHECKING:
    import pyarrow as pa
    from feast import FeatureStore

STAGE = "3-materialise"
MATERIALISED, LOADING, LOCK = "materialised.json", "loading.json", "lock"
BAR_ROWS = 50_000  # fewer take a few seconds: no progress bar


def run(spark: SparkSession, settings: Settings, days: Days) -> StageReport:
    """Load S(last day of the interval) into the online store; never an older day over a newer one.

    Raises MissingArtifact when that day has no snapshot, or none that an audit has judged; QualityStop when that has
    stopped it, and when what training or serving reads of the day is not what Feast or the snapshot says.
    """
    began = time.monotonic()
    newest = days.end - timedelta(days=1)
    for table in feast_store.VIEWS:
        if newest.isoformat() not in delta.built_days(settings, table):
            raise MissingArtifact(f"table {table} holds no snapshot of {newest}; run features for the day first")
    verdicts.refuse_unjudged(settings, verdicts.SNAPSHOT_FIGURES, [newest.isoformat()])
    said: dict[str, Any] = {
        "stage": STAGE,
        "day": newest.isoformat(),
        "versions": {table: delta.version(settings, table) for table in feast_store.VIEWS},
    }
    opened = feast_store.store(spark, settings)
    chosen = feast_check.sample(spark, settings, newest)
    remarks = [feast_check.training(spark, settings, opened, newest, chosen)]
    with alone(settings):
        newer = newer_day(settings, newest)
        if newer is not None:
            remarks.append(newer)
            return StageReport(**said, seconds=time.monotonic() - began, remarks=remarks)
        rows = load(spark, settings, opened, newest, chosen)
    loaded = sum(rows.values())
    return StageReport(
        **said,
        seconds=time.monotonic() - began,
        rows_in=loaded,
        rows_out=loaded,
        counts=rows,
        remarks=remarks,
    )


def load(
    spark: SparkSession, settings: Settings, opened: FeatureStore, day: date, chosen: feast_check.Sample
) -> dict[str, int]:
    """Write both views' rows of the day, check those of the sample, and only then name the day. Returns rows by view.

    Raises QualityStop; the day is then not named.
    """
    home = paths.feature_store(settings)
    stamp = day_start(day + timedelta(days=1), settings.time_zone)
    write_atomically(home / LOADING, json.dumps({"day": day.isoformat()}) + "\n")
    rows = {view: snapshot_rows.count(settings, view, day) for view in feast_store.VIEWS}
    if settings.feast_engine == "local":
        with bar(sum(rows.values())) as advance:
            for view in feast_store.VIEWS:
                for batch in snapshot_rows.batches(settings, view, day):
                    write(opened, view, batch)
                    advance(batch.num_rows)
    else:
        by_executors(spark, opened, stamp)
    feast_check.serving(settings, opened, day, chosen)
    note = {
        "day": day.isoformat(),
        "event_timestamp": stamp.isoformat(),
        "rows": rows,
        "features": _features(settings),
    }
    write_atomically(home / MATERIALISED, json.dumps(note, indent=2) + "\n")
    (home / LOADING).unlink(missing_ok=True)
    return rows


def write(opened: FeatureStore, view: str, batch: pa.RecordBatch) -> None:
    """Feast leaves a batch out in which every value is null. Its readers then find the entities with an older stamp or
    none, and take them for null all the same."""
    import pandas as pd

    if batch.num_rows:
        with feast_store.quiet():
            opened.write_to_online_store(view, df=batch.to_pandas(types_mapper=pd.ArrowDtype))


def by_executors(spark: SparkSession, opened: FeatureStore, stamp: datetime) -> None:
    """Feast's Spark engine: each executor writes its partitions, to an online store that all of them must reach."""
    with feast_store.quiet():
        opened.materialize(start_date=stamp, end_date=stamp, feature_views=list(feast_store.VIEWS))
    spark.conf.set("spark.sql.parser.quotedRegexColumnNames", "false")


def materialised(settings: Settings) -> date | None:
    """The day whose snapshot the online store serves; None before the first."""
    return _day(settings, MATERIALISED)


def holds_all(settings: Settings) -> bool:
    """Whether the day that is served was loaded with all features that the settings build."""
    note = feast_store.read_note(paths.feature_store(settings) / MATERIALISED)
    return note is not None and note.get("features") == _features(settings)


def newer_day(settings: Settings, day: date) -> str | None:
    """Why the day must not be loaded: a newer one is there, or its load has begun and left rows; None if neither."""
    served, begun = materialised(settings), _day(settings, LOADING)
    if served is not None and served > day:
        return f"the online store already serves {served}; {day} is older and was not loaded over it"
    if begun is not None and begun > day:
        return f"a load of {begun} began and did not end, run it again; {day} is older and was not loaded over it"
    return None


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """One load at a time on this machine: two at once could leave an older day's rows over a newer day's."""
    with open(paths.feature_store(settings) / LOCK, "w", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def bar(total: int) -> Iterator[Callable[[int], None]]:
    """A function to call with each batch's rows: a progress bar where a person looks on and it takes a while."""
    if total < BAR_ROWS or not sys.stderr.isatty():
        yield lambda rows: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("online store"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as shown:
        task = shown.add_task("rows", total=total)
        yield lambda rows: shown.advance(task, rows)


def _features(settings: Settings) -> dict[str, list[str]]:
    return {side: sorted(feast_check.columns(settings, side)) for side in feast_check.KEYS}


def _day(settings: Settings, name: str) -> date | None:
    note = feast_store.read_note(paths.feature_store(settings) / name)
    return None if note is None else date.fromisoformat(str(note["day"]))
