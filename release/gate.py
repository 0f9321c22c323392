"""Stage 7: challenger against champion on the held-out day, both as they would have served it.

Features are those of S(D-1) (the groups hold them), vectors those of the ads known at D 00:00, the fallback for the
rest. The decision artifact holds the candidate bundle that was scored, a sample of its scores, and `decision.json`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from contracts import artifacts, paths, report
from contracts.artifacts import Manifest
from contracts.days import Days
from contracts.delta_dataset import dataset
from contracts.errors import AdLensError, DamagedArtifact
from contracts.features import coded
from contracts.settings import Settings
from release import ancestry, baselines, delta, lookup_table, publications
from release.candidate import write_candidate
from release.held_out import best_possible, columns_of, held_out, read_day, score, visual_of
from release.publications import Entry
from release.rule import BASELINE_MARGIN, Limits, Opponent, Scores, Verdict, finite_or_none, judge
from serving.bundle import Bundle, open_bundle
from serving.sample import write_sample
from training.columns import Impressions

STAGE, KIND = "7-gate", "decision"
DECISION, CANDIDATE, SAMPLE, SAMPLE_ROWS = "decision.json", "candidate", "sample.safetensors", 50
CHALLENGER, CHAMPION, MEAN, POPULARITY = "challenger", "champion", "always the mean", "ad popularity"
CODE = "1"  # raise it when the same inputs could give another verdict

LOGGED = pa.schema(
    [
        ("day", pa.string()),
        ("key", pa.string()),  # of the decision artifact
        ("verdict", pa.string()),  # yes or no
        ("challenger", pa.string()),  # address of its model's manifest
        ("champion", pa.string()),  # digest of its bundle; empty on the first day
        ("reasons", pa.string()),  # JSON list
        ("figures", pa.string()),  # JSON: decision.json whole
    ]
)


@dataclass(frozen=True)
class Task:
    """What is judged: addresses and the day."""

    day: str
    table: Path
    model: Path
    champion: Entry | None


def run(table: Path, settings: Settings, against: Entry | None = None) -> Path:
    """The decision on a table's model. Returns its manifest's address; equal inputs return the finished decision.

    `against`: another champion than the one that run D starts from; for a promotion, what is served now.
    Raises MissingArtifact where a stage before this one has not run; whatever fails in the judging itself is a no.
    """
    started = time.monotonic()
    made = artifacts.read(table)
    if made.kind != lookup_table.KIND:
        raise DamagedArtifact(f"{table} is the manifest of a {made.kind}; gate takes a table's")
    champion = against or publications.champion_of(publications.read(settings), made.day)
    task = Task(made.day, table, Path(made.inputs["model"]), champion)
    groups = delta.opened(paths.table(settings, "ad_groups"), "the stage groups")
    inputs = _inputs(task, groups, settings)
    where = artifacts.folder(paths.artifacts(settings), KIND, task.day, inputs)
    address = artifacts.finished(where)
    if not address:
        address = _decide(task, groups, inputs, artifacts.fresh(where), settings)
    decision = read_decision(address)
    version = _log(address, decision, settings)
    report.write(
        settings,
        report.StageReport(
            stage=STAGE,
            day=task.day,
            seconds=time.monotonic() - started,
            rows_in=decision["impressions"],
            rows_out=decision["impressions"],
            versions={"gate_decisions": version},
            counts={"clicks": decision["clicks"], "ads_by_fallback": decision["impressions_by_fallback"]},
            remarks=sentences(decision),
        ),
    )
    return address


def _inputs(task: Task, groups: DeltaTable, settings: Settings) -> dict[str, str]:
    limits = (settings.gate_margin, settings.gate_min_rows, settings.gate_min_clicks)
    return {
        "table": artifacts.file_digest(task.table),
        "model": str(task.model),
        "champion": task.champion.bundle if task.champion else "none",
        "ad_groups": artifacts.digest(delta.fingerprints(groups, [task.day])),
        "config": artifacts.digest([*limits, settings.bootstrap_samples, settings.seed]),
        "code": CODE,
    }


def _decide(task: Task, groups: DeltaTable, inputs: dict[str, str], where: Path, settings: Settings) -> Path:
    folder = where / CANDIDATE
    folder.mkdir()
    visual = lookup_table.gate_table(task.table)
    candidate = open_bundle(
        write_candidate(folder, task.day, task.model, str(task.table), visual, settings.time_zone), named=False
    )
    rows = read_day(groups, task.day, candidate.features)
    verdict, known = _verdict(task, candidate, rows, groups, where, settings)
    best = best_possible(settings, task.day, rows)
    decision: dict[str, Any] = {
        "day": task.day,
        "verdict": "yes" if verdict.yes else "no",
        "reasons": verdict.reasons,
        "model": str(task.model),
        "table": str(task.table),
        "champion": task.champion.bundle if task.champion else None,
        "champion_publication": task.champion.publication if task.champion else None,
        "impressions": len(rows),
        "clicks": int(rows.label.sum()),
        "impressions_by_fallback": int(len(rows) - known),
        "figures": verdict.figures,
        "comparisons": verdict.comparisons,
        "best_possible_auc": best,
    }
    clean = finite_or_none(decision)
    artifacts.write_atomically(where / DECISION, json.dumps(clean, indent=2, allow_nan=False) + "\n")
    return artifacts.finish(
        where,
        Manifest(
            kind=KIND,
            day=task.day,
            key=artifacts.digest(inputs),
            inputs=inputs,
            versions={"ad_groups": groups.version()},
            rows={"impressions": len(rows), "clicks": int(rows.label.sum())},
            figures={"verdict": decision["verdict"], "reasons": verdict.reasons, "best_possible_auc": best},
        ),
    )


def _verdict(
    task: Task, candidate: Bundle, rows: Impressions, groups: DeltaTable, where: Path, settings: Settings
) -> tuple[Verdict, int]:
    """(verdict, impressions whose ad was in the challenger's table)."""
    try:
        own, known = score(CHALLENGER, candidate, rows)
        objections = ancestry.objections("the challenger", task.model, task.day)
        opponents, more = _opponents(task, rows, groups, settings)
        first = np.arange(min(SAMPLE_ROWS, len(rows)))
        part = rows.take(first)
        write_sample(where / SAMPLE, columns_of(candidate, part), visual_of(candidate, part), own.values[first])
    except (AdLensError, ValueError, KeyError, ArithmeticError, IndexError) as error:
        return Verdict(False, [f"the evaluation failed: {type(error).__name__}: {error}"]), 0
    verdict = judge(held_out(rows), own, opponents, Limits.of(settings))
    objections += more
    if objections:
        refused = objections + ([] if verdict.yes else verdict.reasons)
        verdict = Verdict(False, refused, verdict.figures, verdict.comparisons)
    return verdict, int(known.sum())


def _opponents(
    task: Task, rows: Impressions, groups: DeltaTable, settings: Settings
) -> tuple[list[Opponent], list[str]]:
    """(whom the challenger must beat, objections against them)."""
    if task.champion:
        bundle = open_bundle(paths.bundles(settings) / task.champion.bundle)
        needed = {feature.name for feature in coded(bundle.features)}  # of its own feature set
        seen = rows if needed <= rows.codes.keys() else read_day(groups, task.day, bundle.features)
        scores, _ = score(CHAMPION, bundle, seen)
        objections = ancestry.objections("the champion", Path(bundle.info.model), task.day)
        return [Opponent(scores, settings.gate_margin)], objections
    interval = artifacts.read(task.model).interval
    if interval is None:
        return [], ["the challenger does not say which days it was fitted on"]
    days = Days(date.fromisoformat(interval[0]), date.fromisoformat(interval[1])).texts()
    counted = baselines.popularity(groups, days)
    ids = rows.impression_id
    return [
        Opponent(Scores(MEAN, ids, counted.constant(len(rows))), BASELINE_MARGIN),
        Opponent(Scores(POPULARITY, ids, counted.scores(rows.ad_id)), BASELINE_MARGIN),
    ], []


def read_decision(address: Path) -> dict[str, Any]:
    """decision.json of a decision's manifest. Raises DamagedArtifact where it is none."""
    manifest = artifacts.read(address)
    if manifest.kind != KIND:
        raise DamagedArtifact(f"{address} is the manifest of a {manifest.kind}; a decision's is needed")
    decision: dict[str, Any] = json.loads((address.parent / DECISION).read_bytes())
    return decision


def _log(address: Path, decision: dict[str, Any], settings: Settings) -> int:
    """Appends the decision to `gate_decisions` unless it is there. Returns the table's version."""
    where, key = paths.table(settings, "gate_decisions"), artifacts.read(address).key
    if delta.exists(where):
        table = DeltaTable(where)
        if any(row["day"] == decision["day"] and row["key"] == key for row in _keys(table)):
            return table.version()
    row = {
        "day": decision["day"],
        "key": key,
        "verdict": decision["verdict"],
        "challenger": decision["model"],
        "champion": decision["champion"] or "",
        "reasons": json.dumps(decision["reasons"]),
        "figures": json.dumps(decision),
    }
    return delta.append(where, pa.Table.from_pylist([row], schema=LOGGED))


def _keys(table: DeltaTable) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = dataset(table).to_table(columns=["day", "key"]).to_pylist()
    return rows


def sentences(decision: dict[str, Any]) -> list[str]:
    """The decision for a person: verdict, reasons, figures."""

    def number(value: float | None, form: str = ".4f") -> str:
        return "none" if value is None else format(value, form)

    lines = [f"{'YES' if decision['verdict'] == 'yes' else 'NO, the champion stays'}: {'; '.join(decision['reasons'])}"]
    for name, f in decision["figures"].items():
        lines.append(
            f"{name}: AUC {number(f['auc'])}, GAUC {number(f['gauc'])}, log loss {number(f['log_loss'])}, "
            f"calibration {number(f['calibration'], '.3f')}"
        )
    for name, c in decision["comparisons"].items():
        lines.append(
            f"against {name}: AUC difference {number(c['difference'], '+.4f')}, 95 % interval "
            f"[{number(c['low'], '+.4f')}, {number(c['high'], '+.4f')}]; the smallest difference that this day "
            f"could have shown is {number(c['smallest_visible'])}"
        )
    if decision["best_possible_auc"] is not None:
        lines.append(f"best possible AUC on this day (planted probabilities): {decision['best_possible_auc']:.4f}")
    return lines
