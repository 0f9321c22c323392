"""Promotion on request: whoever moves the alias `champion` in MLflow asks for a publication.

Log and pointer are what is; the alias is what somebody wants. `reconcile` looks at both: an alias that a killed
publisher left behind follows, one that a person has moved is a request. The version then goes through the gate on the
latest published day, against what is served now, and is published, or the alias goes back and the refusal is written on
the version (tags `refused`, `refused_at`). `adlens promote` moves the alias too, with a reason. A request that was
killed on its way is still in MLflow, and is answered by the next call.
"""

from __future__ import annotations

from pathlib import Path

from contracts import artifacts
from contracts.errors import DamagedArtifact, InputError, MissingArtifact
from contracts.settings import Settings
from release.publishing import publications
from release.publishing.publications import Entry
from release.publishing.publish import By, challenger, follow, rows_follow
from release.publishing.switch import store
from release.versions import registry
from release.versions.registry import Version


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
    registry.ask(found.number, reason, by.who, force, settings)
    return _answer(found.number, by, settings)


def reconcile(settings: Settings, by: By) -> list[str]:
    """Ends what was interrupted, answers what was asked. Returns what was done, in sentences; a second call: none."""
    said = publications.settle(settings)
    alias, log = registry.champion(settings), publications.read(settings)
    last = log[-1] if log else None
    synced = last is not None and alias.synced_publication >= last.publication
    if last is None:
        return said + (_answer(alias.version, by, settings) if alias.version else [])
    if alias.version == last.version and synced:
        return said
    if alias.version is None or (not synced and alias.version in (last.version, alias.synced_version)):
        return said + follow(settings)
    if alias.version == last.version:
        return said + follow(settings)
    return said + _answer(alias.version, by, settings)


def _answer(number: str, by: By, settings: Settings) -> list[str]:
    """One request. Only MLflow's silence and another's switch leave it open; whatever is wrong with the version itself
    refuses it."""
    seen = store(settings).look()
    log = publications.read(settings, seen)
    last = log[-1] if log else None
    found = registry.version(settings, number)
    asked_by = found.tags.get("request.by") or "somebody in MLflow"
    why = found.tags.get("request.reason") or "the alias was moved in MLflow"
    force = found.tags.get("request.force") == "yes"
    try:
        entry = _entry(found, last, f"{why} (asked for by {asked_by})", force, By(asked_by, by.at), settings)
    except (InputError, MissingArtifact, DamagedArtifact) as error:
        return _refuse(found, last, str(error), by, settings)
    if isinstance(entry, str):
        return _refuse(found, last, entry, by, settings)
    publications.switch(settings, seen, entry)
    more = rows_follow(entry, settings)
    registry.sync(entry.publication, number, settings)
    registry.answer(number, {"promoted_at": entry.at, "promoted": entry.reason}, settings)
    forced = " AGAINST THE GATE" if entry.action == "force" else ""
    return [f"published{forced}: version {number} is publication {entry.publication}; undo: adlens rollback", *more]


def _entry(found: Version, last: Entry | None, why: str, force: bool, by: By, settings: Settings) -> Entry | str:
    """The publication that answers a request, its bundle made and proved; or why there is none."""
    from release.judging import gate
    from release.lookup import lookup_table

    model = registry.model_of(found, settings)
    manifest = artifacts.read(model)
    if manifest.kind != "model":
        raise DamagedArtifact(f"{model}, which version {found.number} names, is the manifest of a {manifest.kind}")
    day = max(manifest.day, last.day) if last else manifest.day
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
