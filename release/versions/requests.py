"""Promotion on request: whoever moves the alias `champion` in MLflow asks for a publication.

Log and pointer are what is; the alias is what somebody wants. `reconcile` looks at both: an alias that a killed
publisher left behind follows, one that a person has moved is a request. The version then goes through the gate on the
latest published day, against what is served now, and is published, or the alias goes back and the refusal is written on
the version (tags `refused`, `refused_at`). `adlens promote` moves the alias too, with a reason. A request that was
killed on its way is still in MLflow, and is answered by the next call; one that was answered, or taken back by moving
the alias back, leaves nothing: its tags name the publication that it was asked against, and the next call clears them.
"""

from __future__ import annotations

from pathlib import Path

from contracts import artifacts
from contracts.errors import DamagedArtifact, InputError, MissingArtifact, PrerequisiteError
from contracts.settings import Settings
from release.publishing import publications
from release.publishing.publications import Entry
from release.publishing.publish import By, challenger, follow, moved, rows_follow
from release.publishing.switch import store
from release.versions import registry
from release.versions.registry import ASKED, FORCE, Version


def promote(number: str, reason: str, force: bool, by: By, settings: Settings) -> list[str]:
    """Asks for a version, and answers. Raises InputError, before the alias is moved, for one that cannot be served.

    Returns sentences; the first begins with `published` or `refused`.
    """
    if not reason:
        raise InputError("a promotion needs a reason: --reason '...'")
    publications.settle(settings)
    found = registry.version(settings, number)
    model = registry.model_of(found, settings)
    log = publications.read(settings)
    if log and log[-1].model == str(model):
        raise InputError(f"version {found.number} is what is served already")
    base = log[-1].publication if log else 0
    registry.ask(found.number, reason, by.who, force, base, settings)
    return _answer(found.number, by, settings)


def reconcile(settings: Settings, by: By) -> list[str]:
    """Ends what was interrupted, answers what was asked. Returns what was done, in sentences; a second call: none.

    A home in which nothing was ever published and MLflow's own file is not there yet has nothing to do.
    """
    said = publications.settle(settings)
    log = publications.read(settings)
    if not log and not registry.begun(settings):
        return said
    alias = registry.champion(settings)
    asked = alias.version if moved(alias, log) else None
    said += _close(log, asked, settings)
    if asked:
        return said + _answer(asked, by, settings)
    if log and (alias.version is None or alias.version != (log[-1].version or alias.synced_version)):
        return said + follow(settings)
    return said + (follow(settings) if log and alias.synced_publication < log[-1].publication else [])


def _close(log: list[Entry], asked: str | None, settings: Settings) -> list[str]:
    """Requests that are none any more: answered by somebody who died before he noted it, or withdrawn by moving the
    alias back. Their tags go, so that nobody's later move is taken for theirs."""
    said = []
    for one in registry.versions(settings):
        if one.number == asked or not any(name in one.tags for name in ASKED):
            continue
        base = registry.base_of(one)
        later = [entry for entry in log if entry.publication > base and entry.version == one.number]
        answers = [entry for entry in later if entry.action in ("promote", "force")]
        if base >= 0 and answers:
            _promoted(answers[0], settings)
            said.append(f"version {one.number}: its request was answered by publication {answers[0].publication}")
        else:
            registry.answer(one.number, {}, settings)
            said.append(f"version {one.number}: its request was withdrawn")
    return said


def _answer(number: str, by: By, settings: Settings) -> list[str]:
    """One request. Only MLflow's silence and another's switch leave it open; whatever is wrong with the version itself
    refuses it. Force is of the moment: it holds against what served when it was asked for, and nothing later."""
    seen = store(settings).look()
    log = publications.read(settings, seen)
    last = log[-1] if log else None
    base = last.publication if last else 0
    found = registry.version(settings, number)
    asked_by = found.tags.get("request.by") or "somebody in MLflow"
    why = found.tags.get("request.reason") or "the alias was moved in MLflow"
    force = found.tags.get(FORCE) == registry.bound(True, base)
    try:
        entry = _entry(found, log, f"{why} (asked for by {asked_by})", force, By(asked_by, by.at), settings)
    except (InputError, MissingArtifact, DamagedArtifact) as error:
        return _refuse(found, last, str(error), by, settings)
    if isinstance(entry, str):
        return _refuse(found, last, entry, by, settings)
    if FORCE not in found.tags:  # moved in MLflow: whoever ends this after a crash finds what it asked about
        registry.bind(number, False, base, settings)
    publications.switch(settings, seen, entry)
    more = rows_follow(entry, settings)
    try:
        registry.sync(entry.publication, number, settings)
        _promoted(entry, settings)
    except PrerequisiteError as error:
        raise PrerequisiteError(
            f"publication {entry.publication} serves version {number} now, but MLflow at "
            f"{settings.mlflow_tracking_uri} stopped answering before it was told; the alias follows by "
            "`adlens reconcile`, once MLflow is there again"
        ) from error
    forced = " AGAINST THE GATE" if entry.action == "force" else ""
    return [f"published{forced}: version {number} is publication {entry.publication}; undo: adlens rollback", *more]


def _promoted(entry: Entry, settings: Settings) -> None:
    registry.answer(entry.version, {"promoted_at": entry.at, "promoted": entry.reason}, settings)


def _entry(found: Version, log: list[Entry], why: str, force: bool, by: By, settings: Settings) -> Entry | str:
    """The publication that answers a request, its bundle made and proved; or why there is none."""
    from release.judging import gate
    from release.lookup import lookup_table

    last = log[-1] if log else None
    model = registry.model_of(found, settings)
    manifest = artifacts.read(model)
    if manifest.kind != "model":
        raise DamagedArtifact(f"{model}, which version {found.number} names, is the manifest of a {manifest.kind}")
    # A refresh of the table may be of a catalogue whose day no run has reached yet.
    day = max(manifest.day, publications.latest_run(log)) if log else manifest.day
    table, _ = lookup_table.make(model, day, settings)
    address = gate.run(table, settings, against=last)
    decision = gate.read_decision(address)
    said = "; ".join(decision["reasons"])
    if decision["verdict"] != "yes" and not force:
        return f"the gate said no on {day}: {said}"
    forced = decision["verdict"] != "yes"
    bundle, served = challenger(address, decision, settings)
    return publications.following(
        last, by.at, day=day, action="force" if forced else "promote", bundle=bundle, model=str(model), table=served,
        decision=str(address), reason=f"{why}; the gate: {said}", version=found.number, by=by.who,
    )  # fmt: skip


def _refuse(found: Version, last: Entry | None, reason: str, by: By, settings: Settings) -> list[str]:
    registry.answer(found.number, {"refused": reason, "refused_at": by.at or "unknown"}, settings)
    registry.withdraw(last.version if last else None, last.publication if last else 0, settings)
    return [f"refused: version {found.number}: {reason}"]


def model_address(number: str, settings: Settings) -> Path:
    """Address of the manifest of a version's model."""
    return registry.model_of(registry.version(settings, number), settings)
