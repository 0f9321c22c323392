"""Stage 8: what a decision means for what is served.

yes: the candidate's weights with the table of the catalogue at the end of D become a bundle; a fresh process proves it;
     the pointer switches; the log gets its row; the Delta table `visual_table` and MLflow's alias follow.
no:  the model in service stays, its table is refreshed to the same catalogue (action `keep`). So also at a `wait`,
     while a freeze lasts, and for a model that served before and was replaced: only a person brings that back.

MLflow is asked before anything changes (the model becomes a version), and last (the alias). Killed before the switch, a
run starts over; after it, whoever comes next writes the row and moves the alias (publications.settle; requests.py in
release/versions). Nothing is held while a bundle is being made: of two publishers the second is refused at the switch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts import artifacts, paths, report
from contracts.errors import AdLensError, MissingArtifact, Overtaken
from contracts.settings import Settings
from release.judging.gate import CANDIDATE, SAMPLE, read_decision
from release.judging.staleness import stale
from release.judging.tracked_decision import track
from release.lookup import lookup_table
from release.lookup.visual_delta import publish_delta
from release.publishing import publications
from release.publishing.candidate import draft_folder, settle_bundle, with_table
from release.publishing.proof import prove, prove_kept
from release.publishing.publications import Entry
from release.publishing.switch import Seen, store
from release.versions import registry
from release.versions.registry import Alias
from serving.bundle import open_bundle

STAGE = "8-publish"


@dataclass(frozen=True)
class By:
    """Who changes what is served, and when (UTC, ISO 8601): the log's words."""

    who: str = ""
    at: str = ""


def run(decision_address: Path, settings: Settings, by: By = By()) -> Entry | None:
    """The log's row of this decision, or None where nothing was published and nothing was in service."""
    started = time.monotonic()
    decision = read_decision(decision_address)
    remarks = publications.settle(settings)
    seen = store(settings).look()
    log = publications.read(settings, seen)
    model, candidate = Path(decision["model"]), decision_address.parent / CANDIDATE
    reasons = "; ".join(decision["reasons"])[:4000]
    told = {"verdict": decision["verdict"], "reasons": reasons, "decision": str(decision_address)}
    version = registry.register(model, candidate, told, settings)
    entry, more = _act(decision_address, decision, version, seen, log, by, settings)
    remarks += more
    if log or entry:
        remarks += follow(settings)
    track(decision_address, settings)
    _report(decision, entry, remarks, time.monotonic() - started, settings)
    return entry


def follow(settings: Settings) -> list[str]:
    """`visual_table` after what is served, and then MLflow's alias, unless somebody asks for something by it. A failure
    here is told and no more: the publication stands, and the next run or `adlens reconcile` does it."""
    log = publications.read(settings)
    return rows_follow(log[-1], settings) + _alias_follows(log, settings)


def rows_follow(served: Entry, settings: Settings) -> list[str]:
    """`visual_table` holds the table that is served; a sentence where that fails. Before the alias, which
    tells whoever comes next that all is done."""
    try:
        publish_delta(Path(served.table), settings)
    except AdLensError as error:
        return [f"{error}; the next run or refresh writes them"]
    return []


def _alias_follows(log: list[Entry], settings: Settings) -> list[str]:
    last = log[-1]
    try:
        alias = registry.champion(settings)
        if moved(alias, log):
            return [f"MLflow: somebody asks for version {alias.version}; `adlens reconcile` answers"]
        version = last.version or registry.register(Path(last.model), None, {}, settings)
        registry.sync(last.publication, version, settings)
    except AdLensError as error:
        return [f"MLflow's alias does not follow yet ({error}); `adlens reconcile` moves it"]
    return [f"MLflow: {settings.slot} version {version} is {registry.CHAMPION}"]


def moved(alias: Alias, log: list[Entry]) -> bool:
    """Whether somebody has moved the alias: it is neither where AdLens left it, nor at anything published since (its
    publisher died before he moved it on: what a rollback then took back is not asked for again)."""
    if alias.version is None:
        return False
    since = {entry.version for entry in log if entry.publication > alias.synced_publication}
    return alias.version not in {alias.synced_version, *since, *(entry.version for entry in log[-1:])}


def _act(
    address: Path, decision: dict[str, Any], version: str, seen: Seen, log: list[Entry], by: By, settings: Settings
) -> tuple[Entry | None, list[str]]:
    day = decision["day"]
    for entry in log:
        if entry.decision == str(address):
            return entry, [f"publication {entry.publication} of {day} stands already: nothing to do"]
    later = [entry.day for entry in log if entry.day > day and entry.action != "refresh"]
    if later:
        return None, [f"evaluated only: {max(later)} is published, a run of the earlier day {day} publishes nothing"]
    last = log[-1] if log else None
    champion = publications.champion_of(log, day)
    if decision["champion"] != (champion.bundle if champion else None):
        raise Overtaken(
            f"{address} compares with a champion that is no longer what run {day} starts from (a rollback or a "
            "promotion came between); run the stage gate again"
        )
    if outdated := stale(address, decision, settings):
        raise Overtaken(f"{address} is stale: {outdated}; run the stage gate again")
    frozen = last.frozen if last else ""
    back = last is not None and last.model != decision["model"] and decision["model"] in {entry.model for entry in log}
    if decision["verdict"] == "yes" and not frozen and not back:
        bundle, table = challenger(address, decision, settings)
        action, model = "publish", decision["model"]
    elif last is None:
        return None, ["NOTHING IS SERVED: the gate said no and there is no champion yet"]
    else:
        bundle, table = _refreshed(last, day, settings)
        action, model, version = "keep", last.model, last.version
    entry = publications.following(
        last, by.at, day=day, action=action, bundle=bundle, model=model, table=table, decision=str(address),
        reason="; ".join(decision["reasons"]), version=version, by=by.who or f"run of {day}",
    )  # fmt: skip
    publications.switch(settings, seen, entry)
    return entry, _told(entry, decision)


def _told(entry: Entry, decision: dict[str, Any]) -> list[str]:
    said = f"the champion stays, its table is refreshed (publication {entry.publication})"
    if entry.action == "publish":
        return [f"published as publication {entry.publication}, bundle {entry.bundle[:12]}; undo: adlens rollback"]
    if decision["verdict"] == "yes" and not entry.frozen:
        return [f"this model was replaced before and comes back only by `adlens promote`: {said}"]
    if decision["verdict"] == "yes":
        return [
            f"FROZEN ({entry.frozen}): the gate said yes, and {said}; `adlens unfreeze` ends the freeze, "
            "`adlens promote` asks for one version"
        ]
    frozen = [f"FROZEN ({entry.frozen}): no challenger follows by itself"] if entry.frozen else []
    return [f"the gate did NOT say yes: {said}", *frozen]


def challenger(address: Path, decision: dict[str, Any], settings: Settings) -> tuple[str, str]:
    """(bundle digest, address of the table) of the candidate with the refreshed table, proved by a fresh process."""
    table = Path(decision["table"])
    candidate, sample = address.parent / CANDIDATE, address.parent / SAMPLE
    if not sample.is_file():
        raise MissingArtifact(f"{sample} is not there: the gate could not score this model, so it cannot be served")
    open_bundle(candidate, named=False)
    artifacts.read(table)
    with draft_folder(settings) as draft:
        with_table(draft, candidate, decision["day"], str(table), lookup_table.served_table(table))
        prove(draft, sample)
        return settle_bundle(draft).name, str(table)


def _refreshed(champion: Entry, day: str, settings: Settings) -> tuple[str, str]:
    """(bundle digest, address of the table) of the model in service with the table of the catalogue of `day`."""
    old = paths.bundles(settings) / champion.bundle
    open_bundle(old)
    table, _ = lookup_table.make(Path(champion.model), day, settings, like=Path(champion.table))
    if str(table) == champion.table:
        return champion.bundle, champion.table  # an earlier run or the hour's refresh has made it
    served = lookup_table.served_table(table)
    with draft_folder(settings) as draft:
        with_table(draft, old, day, str(table), served)
        prove_kept(draft, old, Path(champion.table), day, settings)
        return settle_bundle(draft).name, str(table)


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
