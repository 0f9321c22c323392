"""Stage 8: what a decision means for what is served.

yes: the candidate's weights with the table of the catalogue at the end of D become a bundle; a fresh process proves it;
     the log gets a row; the pointer follows; MLflow's alias follows.
no:  the model in service stays, its table is refreshed to the same catalogue (action `keep`); `wait` is handled alike.

The log is the truth. Killed before its row is written, a run starts over; killed after it, the next run finds the row
and makes pointer and alias follow.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from contracts import artifacts, paths, report
from contracts.errors import DamagedArtifact, InputError
from contracts.settings import Settings
from release import lookup_table, publications, registry
from release.candidate import draft_folder, settle_bundle, with_table
from release.gate import CANDIDATE, SAMPLE, read_decision
from release.publications import Entry
from release.staleness import stale
from release.tracked_decision import track
from release.visual_delta import publish_delta
from serving.bundle import open_bundle

STAGE = "8-publish"
CHECK_SECONDS = 120


def run(decision_address: Path, settings: Settings) -> Entry | None:
    """The log's row of this decision, or None where nothing was published and nothing was in service."""
    started = time.monotonic()
    decision = read_decision(decision_address)
    with publications.alone(settings):
        entry, remarks = _act(decision_address, decision, settings)
        if publications.settle(settings):
            remarks.append("the pointer now follows the publication log")
        log = publications.read(settings)
    if log:
        version = registry.crown(Path(log[-1].model), log[-1].bundle, settings)
        remarks.append(f"MLflow: {registry.NAME} version {version} is {registry.ALIAS}")
    track(decision_address, settings)
    _report(decision, entry, remarks, time.monotonic() - started, settings)
    return entry


def _act(address: Path, decision: dict[str, Any], settings: Settings) -> tuple[Entry | None, list[str]]:
    day, log = decision["day"], publications.read(settings)
    for entry in log:
        if entry.decision == str(address):
            return entry, [f"publication {entry.publication} of {day} stands already: nothing to do"]
    later = [entry.day for entry in log if entry.day > day and entry.action != "refresh"]
    if later:
        return None, [f"evaluated only: {max(later)} is published, a run of the earlier day {day} publishes nothing"]
    last = log[-1] if log else None
    champion = publications.champion_of(log, day)
    if decision["champion"] != (champion.bundle if champion else None):
        raise InputError(
            f"{address} compares with a champion that is no longer what run {day} starts from (a rollback came "
            "between); run the stage gate again"
        )
    if outdated := stale(address, decision, settings):
        raise InputError(f"{address} is stale: {outdated}; run the stage gate again")
    if decision["verdict"] == "yes":
        bundle, table = _challenger(address, decision, settings)
        action, model = "publish", decision["model"]
    elif last is None:
        return None, ["NOTHING IS SERVED: the gate said no and there is no champion yet"]
    else:
        bundle, table = _refreshed(last, day, settings)
        action, model = "keep", last.model
    entry = Entry(
        day=day,
        publication=(last.publication if last else 0) + 1,
        action=action,
        bundle=bundle,
        model=model,
        table=table,
        decision=str(address),
        reason="; ".join(decision["reasons"]),
    )
    publications.append(settings, entry)
    return entry, _told(entry)


def _told(entry: Entry) -> list[str]:
    if entry.action == "keep":
        said = "the champion stays, its table is refreshed"
        return [f"the gate did NOT say yes: {said} (publication {entry.publication})"]
    return [f"published as publication {entry.publication}, bundle {entry.bundle[:12]}; undo: adlens rollback"]


def _challenger(address: Path, decision: dict[str, Any], settings: Settings) -> tuple[str, str]:
    """(bundle digest, address of the table) of the candidate with the refreshed table, proved by a fresh process."""
    table = Path(decision["table"])
    candidate = address.parent / CANDIDATE
    open_bundle(candidate, named=False)
    artifacts.read(table)
    draft = draft_folder(settings)
    with_table(draft, candidate, decision["day"], str(table), lookup_table.served_table(table))
    _prove(draft, address.parent / SAMPLE)
    return settle_bundle(draft).name, str(table)


def _refreshed(champion: Entry, day: str, settings: Settings) -> tuple[str, str]:
    """(bundle digest, address of the table) of the model in service with the table of the catalogue of `day`."""
    if champion.day == day and champion.action != "rollback":
        return champion.bundle, champion.table  # an earlier run of the same day has refreshed it
    old = paths.bundles(settings) / champion.bundle
    open_bundle(old)
    table, _ = lookup_table.make(Path(champion.model), day, settings, like=Path(champion.table))
    served = lookup_table.served_table(table)
    publish_delta(table, served, settings)
    draft = draft_folder(settings)
    with_table(draft, old, day, str(table), served)
    open_bundle(draft, named=False, whole=True)
    return settle_bundle(draft).name, str(table)


def _prove(draft: Path, sample: Path) -> None:
    """A fresh process loads the bundle and scores the gate's sample again. Raises DamagedArtifact if it cannot."""
    command = [sys.executable, "-m", "serving", "check", "--unnamed", "--bundle", str(draft), "--sample", str(sample)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise DamagedArtifact(
            f"the new bundle failed its check in a fresh process and is not published: {said[-1] if said else 'silent'}"
        )


def _report(
    decision: dict[str, Any], entry: Entry | None, remarks: list[str], seconds: float, settings: Settings
) -> None:
    ads = artifacts.read(entry.table, check_files=False).rows.get("ads", 0) if entry else 0
    report.write(
        settings,
        report.StageReport(
            stage=STAGE,
            day=decision["day"],
            seconds=seconds,
            rows_in=ads,
            rows_out=ads,
            counts={"publication": entry.publication} if entry else {},
            remarks=remarks,
        ),
    )
