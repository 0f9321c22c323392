"""Stage 1 of neighbouring days at once, anywhere: one is told to run again, and then all is as in a sequence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contracts.commits import Cause
from contracts.days import Days
from contracts.errors import DamagedArtifact
from contracts.settings import Settings
from spark_jobs import delta, impressions, maintain, quality
from spark_jobs.seen import Seen
from tests.spark.test_concurrent_writes import COLUMNS as USERS
from tests.spark.test_impressions_order import contents, five_days, run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    LandingFolder = Any


def before_the_first_write(patch: pytest.MonkeyPatch, other: Callable[[], object]) -> None:
    """All is read, nothing is written yet."""
    real, left = delta.write_days, [other]

    def write(*args: Any, **more: Any) -> delta.WriteResult:
        while left:
            left.pop()()
        return real(*args, **more)

    patch.setattr(delta, "write_days", write)


def after_the_last_look(patch: pytest.MonkeyPatch, other: Callable[[], object]) -> None:
    """The last write has found everything as it was, and is about to start."""
    real, left = Seen.turn, [other]

    def turn(self: Seen, where: str) -> dict[str, str]:
        options = real(self, where)
        while left and where.endswith("/impressions"):
            left.pop()()
        return options

    patch.setattr(Seen, "turn", turn)


ERASED = '{"stage": "erase", "start": "2026-01-01", "end": "2026-01-02", "why": {"2026-01-01": "gone"}}'
MEETINGS = ((before_the_first_write, 2, 1), (after_the_last_look, 1, 2))


@pytest.mark.slow
def test_two_runs_at_once_then_the_refused_one_again(
    spark: SparkSession, settings: Settings, landing: LandingFolder, tmp_path: Path
) -> None:
    """Folder 2 holds clicks on day 1, early ones and others: each run must see what the other has brought."""
    five_days(landing)
    run(spark, settings, 1)
    run(spark, settings, 2)
    wanted = contents(spark, settings)
    for moment, day, meanwhile in MEETINGS:
        one = settings.model_copy(update={"tables": str(tmp_path / moment.__name__)})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(impressions, "WRITERS", 1)  # else the others go on writing while one waits
            moment(patch, lambda one=one, meanwhile=meanwhile: run(spark, one, meanwhile))
            with pytest.raises(DamagedArtifact, match=f"1-impressions of .2026-01-0{meanwhile}, .* run the day again"):
                run(spark, one, day)
        run(spark, one, day)
        assert contents(spark, one) == wanted, moment.__name__


def test_an_audit_beside_which_its_day_was_staged_again(
    spark: SparkSession, settings: Settings, landing: LandingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have published labels that were already changed."""
    five_days(landing)
    run(spark, settings, 1)
    real, where = quality._figures, delta.address(settings, "impressions", staged=True)

    def figures(*args: Any) -> Any:
        with maintain.message(spark, ERASED):
            spark.sql(f"DELETE FROM delta.`{where}` WHERE impression_id = 'e'")
        return real(*args)

    monkeypatch.setattr(quality, "_figures", figures)
    with pytest.raises(DamagedArtifact, match="table staged/impressions: erase of .* run the day again"):
        quality.run(spark, settings, Days.parse("2026-01-01"))


def test_what_concerns_a_run(spark: SparkSession, settings: Settings) -> None:
    """Not a day out of reach, not what leaves all rows as they are, not its own commits; an erasure does: else the run
    would write the person's rows, which it has read before, back again."""

    def write(day: str, **more: Any) -> None:
        frame = spark.createDataFrame([(day, "u", None, None, None, None)], USERS)
        run = Cause("1-impressions", Days.parse(day), "folder ingested", by=more["seen"].by if more else "")
        delta.write_days(spark, settings, "users", frame, [day], cause=run, **more)

    write("2026-01-01")
    seen, where = Seen(settings, Days.parse("2026-01-01", "2026-01-03"), "users"), delta.address(settings, "users")
    write("2026-01-05")
    spark.sql(f"ALTER TABLE delta.`{where}` SET TBLPROPERTIES ('delta.checkpointInterval' = '20')")
    spark.sql(f"OPTIMIZE delta.`{where}`")
    write("2026-01-02", seen=seen)
    seen.check()
    with maintain.message(spark, ERASED):
        spark.sql(f"DELETE FROM delta.`{where}` WHERE day = '2026-01-01'")
    with pytest.raises(DamagedArtifact, match="table users: erase of .* run the day again"):
        seen.check()
    with pytest.raises(DamagedArtifact, match="table users: erase of .* run the day again"):
        seen.turn(where)
