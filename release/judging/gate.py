"""Stage 7: challenger against champion on the held-out day, both as they would have served it.

Features are those of S(D-1) (the groups hold them), vectors those of the ads known at D 00:00, the fallback for the
rest. The rule is in rule.py. The decision artifact holds the candidate bundle that was scored, a sample of its scores,
`decision.json`, and three pictures.

A finished decision is returned for equal inputs, unless it is a no whose cause may have passed (Verdict.lasting). Then
the model is judged anew, as the next attempt: the old no stays, and what was done on it is still explained by it.
"""

from __future__ import annotations

import itertools
import json
import shutil
import time
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from deltalake import DeltaTable

from contracts import artifacts, paths, report
from contracts.artifacts import Manifest
from contracts.days import Days
from contracts.errors import AdLensError, DamagedArtifact
from contracts.features import coded
from contracts.settings import Settings
from release import delta
from release.judging import ancestry, baselines, freshness
from release.judging.day_slices import slices_of
from release.judging.decision_pictures import draw
from release.judging.decisions import DECISION, KIND, described, finite_or_none, log, read_decision, sentences
from release.judging.evidence import HeldOut, Opponent, Scores
from release.judging.held_out import best_possible, columns_of, read_day, score, service_of, visual_of
from release.judging.rule import BASELINE_MARGIN, NO, Limits, Verdict, judge
from release.lookup import lookup_table
from release.lookup.catalogue import ads_table, unchanged
from release.publishing import publications
from release.publishing.candidate import write_candidate
from release.publishing.publications import Entry
from serving.bundle import Bundle, open_bundle
from serving.sample import write_sample
from serving.table import codes_of
from training.columns import Impressions

STAGE = "7-gate"
CANDIDATE, SAMPLE, SAMPLE_ROWS = "candidate", "sample.safetensors", 50
CHALLENGER, CHAMPION, MEAN, POPULARITY = "challenger", "champion", "always the mean", "ad popularity"
CODE = "3"  # raise it when the same inputs could give another verdict


@dataclass(frozen=True)
class Task:
    """What is judged: addresses and the day."""

    day: str
    table: Path
    model: Path
    champion: Entry | None


def run(table: Path, settings: Settings, against: Entry | None = None) -> Path:
    """The decision on a table's model. Returns its manifest's address; equal inputs return the finished decision, but
    for a no that may have passed: another answer or another reason is then a decision of its own.

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
    address = _decision(task, groups, settings)
    decision = read_decision(address)
    versions = log(address, decision, settings)
    report.write(
        settings,
        report.StageReport(
            stage=STAGE,
            day=task.day,
            seconds=time.monotonic() - started,
            rows_in=decision["impressions"],
            rows_out=decision["impressions"],
            versions=versions,
            counts={"clicks": decision["clicks"], "ads_by_fallback": decision["impressions_by_fallback"]},
            remarks=sentences(decision),
        ),
    )
    return address


def _decision(task: Task, groups: DeltaTable, settings: Settings) -> Path:
    """The finished decision of these inputs that lasts, or a new one; the last one where a new one would say the
    same."""
    inputs, last = _inputs(task, groups, settings), None
    for attempt in itertools.count(1):
        asked = inputs | {"attempt": str(attempt)}
        where = artifacts.folder(paths.artifacts(settings), KIND, task.day, asked)
        address = artifacts.finished(where)
        if not address:
            break
        if _told(address)["lasting"]:
            return address
        last = address
    made = _decide(task, groups, asked, artifacts.fresh(where), settings)
    if last and all(_told(last)[one] == _told(made)[one] for one in ("verdict", "reasons")):
        shutil.rmtree(made.parent)
        return last
    return made


def _told(address: Path) -> dict[str, Any]:
    """decision.json of a decision whose files were just checked."""
    decision: dict[str, Any] = json.loads((address.parent / DECISION).read_bytes())
    return decision


def _inputs(task: Task, groups: DeltaTable, settings: Settings) -> dict[str, str]:
    return {
        "table": artifacts.file_digest(task.table),
        "model": str(task.model),
        "champion": task.champion.bundle if task.champion else "none",
        "ad_groups": artifacts.digest(delta.fingerprints(groups, [task.day])),
        "snapshots": artifacts.digest(freshness.looked_up(task.day, settings)),
        "config": artifacts.digest([settings.gate_margin, asdict(Limits.of(settings))]),
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
        **described(verdict, Limits.of(settings)),
        "model": str(task.model),
        "table": str(task.table),
        "champion": task.champion.bundle if task.champion else None,
        "champion_publication": task.champion.publication if task.champion else None,
        "impressions": len(rows),
        "clicks": int(rows.label.sum()),
        "impressions_by_fallback": int(len(rows) - known),
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
        first = np.arange(min(SAMPLE_ROWS, len(rows)))  # written at once: a person may force what is refused below
        part = rows.take(first)
        ids = part.ad_id.tolist()
        same = known[first] & unchanged(ads_table(settings), ids, task.day)
        visual, codes = visual_of(candidate, part), codes_of(ids)
        write_sample(where / SAMPLE, columns_of(candidate, part), visual, own.values[first], codes, same)
        objections = ancestry.objections("the challenger", task.model, task.day)
        objections += ancestry.table_objections("the challenger", str(task.table), task.day)
        objections += freshness.objections(rows, candidate.features, task.day, settings)
        opponents, more = _opponents(task, rows, groups, settings)
        objections += more
        slices = slices_of(rows, known, groups, task.day, settings)
        day = HeldOut(rows.impression_id, rows.user_id, rows.label.astype(np.float64), slices)
        verdict = judge(day, own, opponents, service_of(candidate, rows, known), Limits.of(settings))
        if verdict.figures:  # else there are no two classes, or no scores
            draw(day, [own, *(opponent.scores for opponent in opponents)], verdict.slices, where)
    except (AdLensError, ValueError, KeyError, ArithmeticError, IndexError) as error:
        return Verdict(NO, [f"the evaluation failed: {type(error).__name__}: {error}"], passing=True), 0
    passing = all(ancestry.UNREADABLE in one for one in objections)
    return verdict.refused(objections, passing), int(known.sum())


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
        objections += ancestry.table_objections("the champion", bundle.info.table, task.day)
        return [Opponent(scores, settings.gate_margin)], objections
    interval = artifacts.read(task.model).interval
    if interval is None:
        return [], ["the challenger does not say which days it was fitted on"]
    days = Days(date.fromisoformat(interval[0]), date.fromisoformat(interval[1])).texts()
    counted = baselines.popularity(groups, days)
    ids = rows.impression_id
    return [
        Opponent(Scores(MEAN, ids, counted.constant(len(rows))), BASELINE_MARGIN, guards=False),
        Opponent(Scores(POPULARITY, ids, counted.scores(rows.ad_id)), BASELINE_MARGIN, guards=False),
    ], []
