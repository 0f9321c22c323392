"""What a day ends with: the tables, the cause of a failure, and the live view's reading of reports."""

import os
import time
from pathlib import Path

import pytest
from rich.console import Console

from adlens import failure, summary
from adlens.progress import STAGES, Progress
from contracts.report import StageReport, write
from contracts.settings import Settings


def printed(renderable) -> str:
    console = Console(width=140, record=True, file=open(os.devnull, "w"))
    console.print(renderable)
    return console.export_text()


def test_stage_table_holds_what_the_report_says():
    text = printed(
        summary.stage_table(
            [StageReport(stage="1-impressions", day="2026-02-02", seconds=12.34, rows_in=12345, rows_out=12000,
                         set_aside=45, versions={"impressions": 3, "clicks": 2})]
        )
    )  # fmt: skip
    assert "1-impressions" in text and "12.3" in text and "12,345" in text and "12,000" in text and "45" in text
    assert "clicks@2 impressions@3" in text


def test_gate_table_shows_both_models_beside_the_best_possible():
    figures = {
        "challenger": {"auc": 0.71234, "gauc": 0.6, "log_loss": 0.3, "calibration": 1.01},
        "champion": {"auc": 0.7, "gauc": None, "log_loss": float("nan"), "calibration": 1.2},
    }
    text = printed(summary.gate_table(figures, 0.8))
    assert "0.7123" in text and "champion" in text and "0.8000" in text
    row = next(line for line in text.splitlines() if "champion" in line)
    assert row.split() == ["champion", "0.7000", "-", "-", "1.2000"]


def test_request_table_orders_by_ctr_and_names_the_pictures():
    answer = {"ads": [{"ad": "a", "ctr": 0.1, "in_table": True}, {"ad": "b", "ctr": 0.2, "in_table": False}]}
    lines = printed(summary.request_table(answer, {"a": "aa.jpg", "b": None})).splitlines()
    assert lines[1].split()[:2] == ["b", "0.2000"] and "fallback" in lines[1] and "none" in lines[1]
    assert lines[2].split() == ["a", "0.1000", "aa.jpg"]


@pytest.mark.parametrize(
    "lines, wanted",
    [
        (["noise", "[2026] INFO - error: no folder for 2026-03-03", "noise"], "no folder for 2026-03-03"),
        (["error: first", "ValueError: x", "error: \x1b[31msecond\x1b[0m"], "second"),
        (["Traceback", "pkg.mod.SomeError: it broke"], "pkg.mod.SomeError: it broke"),
        (['{"event": "error: from a JSON line", "level": "info"}'], "from a JSON line"),
        (["nothing here"], "the log does not say"),
    ],
)
def test_cause_is_one_line(tmp_path, lines, wanted):
    log = tmp_path / "x.log"
    log.write_text("\n".join(lines))
    assert failure.cause([Path(tmp_path / "absent.log"), log]) == wanted


def test_progress_counts_only_this_runs_reports(tmp_path):
    settings = Settings(home=tmp_path)
    write(settings, StageReport(stage=STAGES[0], day="2026-02-02", seconds=1))
    old = tmp_path / "runs" / "2026-02-02" / f"{STAGES[0]}.json"
    os.utime(old, (1, 1))
    progress = Progress(settings, "2026-02-02", time.time() - 5)
    assert progress.working() == "1-impressions"
    write(settings, StageReport(stage=STAGES[0], day="2026-02-02", seconds=2, rows_out=7))
    assert progress.working() == "2-quality"
    text = printed(progress.render())
    assert "done  1-impressions" in text and "8-publish" in text
