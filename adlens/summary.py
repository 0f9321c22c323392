"""What `adlens day` ends with: stages, gate, publication, one scored request, and where to look further."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from adlens.environment import child_environment
from contracts import paths
from contracts.bundle import read_pointer
from contracts.delta_dataset import dataset
from contracts.report import StageReport, read_all
from contracts.settings import Settings

ADS_OF_REQUEST = 5
SAMPLE = 20_000  # impressions of the day in which a user is looked for


def stage_table(reports: Sequence[StageReport]) -> Table:
    table = Table(title=None, box=None, pad_edge=False)
    table.add_column("stage")
    for name in ("seconds", "rows in", "rows out", "set aside"):
        table.add_column(name, justify="right")
    table.add_column("table versions", overflow="fold")
    for report in reports:
        versions = " ".join(f"{name}@{version}" for name, version in sorted(report.versions.items()))
        numbers = (f"{report.seconds:.1f}", *(f"{n:,}" for n in (report.rows_in, report.rows_out, report.set_aside)))
        table.add_row(report.stage, *numbers, versions)
    return table


def decision_of(settings: Settings, day: str) -> dict[str, Any] | None:
    """What the gate last said of the day; None before it has."""
    found = [file for file in (paths.artifacts(settings) / "decision" / day).glob("*/decision.json")]
    if not found:
        return None
    newest = max(found, key=lambda file: file.stat().st_mtime)
    return dict(json.loads(newest.read_text(encoding="utf-8")))


def gate_table(figures: Mapping[str, Mapping[str, Any]], best: float | None) -> Table:
    """A row a model: the challenger, and the champion or the two predictors that a first champion must beat."""
    table = Table(box=None, pad_edge=False)
    table.add_column("held-out day")
    for name in ("AUC", "GAUC", "log loss", "calibration"):
        table.add_column(name, justify="right")
    for name, row in figures.items():
        values = [row.get(key) for key in ("auc", "gauc", "log_loss", "calibration")]
        table.add_row(name, *("-" if v is None or math.isnan(v) else f"{v:.4f}" for v in values))
    if best is not None:
        table.add_row("best possible (planted)", f"{best:.4f}", "", "", "", style="dim")
    return table


def scored_request(settings: Settings, day: str) -> tuple[dict[str, Any], dict[str, str | None]] | None:
    """What the predictor answers to the busiest user of a sample, and its ads' pictures; None where nothing serves."""
    if not paths.pointer(settings).is_file():
        return None
    import pyarrow.compute as pc
    from deltalake import DeltaTable

    impressions = dataset(DeltaTable(paths.table(settings, "impressions")), [day])
    shown = impressions.head(SAMPLE, columns=["user_id", "ad_id", "query", "shown_at"]).to_pandas()
    if shown.empty:
        return None
    busiest = shown["user_id"].value_counts()
    user = sorted(busiest[busiest == busiest.max()].index)[0]
    seen = shown[shown["user_id"] == user].sort_values("shown_at")
    ads = list(dict.fromkeys(seen["ad_id"]))[:ADS_OF_REQUEST]
    command = [sys.executable, "-m", "serving", "predict", "--user", user, "--ads", ",".join(ads), "--json"]
    queries = [query for query in seen["query"] if query]
    if queries:
        command += ["--query", queries[0]]
    done = subprocess.run(command, env=child_environment(settings), capture_output=True, text=True)
    if done.returncode != 0:
        return {"user": user, "error": (done.stderr.strip().splitlines() or ["no answer"])[-1]}, {}
    answer = {**json.loads(done.stdout.splitlines()[-1]), "query": queries[0] if queries else None}
    catalogue = dataset(DeltaTable(paths.table(settings, "ads")), [day])
    of_ads = catalogue.to_table(columns=["ad_id", "image"], filter=pc.field("ad_id").isin(ads)).to_pylist()
    pictures = {row["ad_id"]: (f"{row['image']}.jpg" if row["image"] else None) for row in of_ads}
    return answer, {ad: pictures.get(ad) for ad in ads}


def request_table(answer: Mapping[str, Any], pictures: Mapping[str, str | None]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("ad")
    table.add_column("CTR", justify="right")
    table.add_column("picture")
    for ad in sorted(answer["ads"], key=lambda ad: -ad["ctr"]):
        vector = "" if ad["in_table"] else "   (no vector yet: fallback)"
        table.add_row(ad["ad"], f"{ad['ctr']:.4f}", (pictures.get(ad["ad"]) or "none") + vector)
    return table


def _verdict(decision: Mapping[str, Any]) -> str:
    said = str(decision.get("verdict"))
    return said if said in ("yes", "wait") else "no"  # whatever else stands there is a no


def show(settings: Settings, day: str, console: Console) -> None:
    """Prints the whole of it."""

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    reports = read_all(settings, day)
    console.print()
    console.print(stage_table(reports))
    for report in reports:
        for remark in report.remarks:
            say(f"  {report.stage}: {remark}")
    decision = decision_of(settings, day)
    if decision is not None:
        console.print()
        console.print(gate_table(decision["figures"], decision.get("best_possible_auc")))
        say(f"gate: {_verdict(decision)}: {'; '.join(decision.get('reasons', []))}")
    pointer = read_pointer(settings)
    console.print()
    if pointer is None:
        say("served: nothing yet; the first challenger must pass the gate")
    else:
        say(f"served: bundle {pointer.bundle[:16]}, of run {pointer.day}, publication {pointer.publication}")
        say("undo:   adlens rollback        history: adlens history")
        if pointer.frozen:
            say(f"FROZEN: {pointer.frozen}; no challenger follows by itself until `adlens unfreeze`")
    asked = scored_request(settings, day)
    if asked is not None:
        answer, pictures = asked
        console.print()
        if "error" in answer:
            say(f"one request (user {answer['user']}): {answer['error']}")
        else:
            query = f", query '{answer['query']}'" if answer.get("query") else ""
            say(f"one request: user {answer['user']} at {answer['at']}{query}")
            console.print(request_table(answer, pictures))
            say(f"pictures: {paths.images(settings)}")
    console.print()
    for what, where in places(settings):
        say(f"{what:<11} {where}")


def places(settings: Settings) -> list[tuple[str, Path | str]]:
    """Where to look further."""
    return [
        ("tables", settings.tables or settings.home_path / "tables"),
        ("Data Docs", paths.data_docs(settings)),
        ("MLflow", settings.mlflow_tracking_uri),
        ("logs", paths.logs(settings)),
        ("web pages", "`adlens up` starts Airflow, MLflow and Data Docs with a login"),
    ]
