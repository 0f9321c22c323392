"""What a person does to what is served, in a second: the way back, and the freeze. Neither asks MLflow.

A rollback is one conditional step of the pointer and one row of the log; nothing heavier than deltalake is imported on
its way. MLflow's alias follows afterwards (release.versions.requests).
"""

from __future__ import annotations

from contracts import paths
from contracts.errors import InputError, MissingArtifact
from contracts.settings import Settings
from release.publishing import publications
from release.publishing.publications import Entry
from release.publishing.switch import Seen, store
from serving.checked import described


def rollback(
    settings: Settings, to: str | None = None, reason: str = "", publication: int | None = None, who: str = "",
    at: str = "",
) -> Entry:  # fmt: skip
    """Serves an earlier publication again. Returns the log's new row.

    `to`: a version of MLflow (its newest publication), `publication`: exactly this one; without either, what was served
    before the model in service came (publications.predecessor). The bundle is checked before anything is switched.
    Raises InputError where there is nothing to go back to, MissingArtifact or DamagedArtifact where that bundle cannot
    be served.
    """
    seen, log = _now(settings)
    target = _target(log, to, publication)
    try:
        described(paths.bundles(settings) / target.bundle)
    except MissingArtifact as error:
        raise MissingArtifact(
            f"publication {target.publication} cannot be served again ({error}): maintenance keeps so many bundles "
            "(ADLENS_KEEP_BUNDLES); `adlens promote` makes one of its version anew, `adlens history` says which stay"
        ) from None
    entry = publications.following(
        log[-1], at, day=publications.latest_run(log), action="rollback", bundle=target.bundle, model=target.model,
        table=target.table, version=target.version, decision="", by=who,
        reason=reason or f"back to publication {target.publication}",
    )  # fmt: skip
    publications.switch(settings, seen, entry)
    return entry


def freeze(settings: Settings, reason: str = "", who: str = "", at: str = "") -> Entry:
    """From now on no challenger follows by itself. Raises InputError where that is so already."""
    seen, log = _now(settings)
    if log[-1].frozen:
        raise InputError(f"frozen already: {log[-1].frozen}; `adlens unfreeze` ends it")
    if not reason:
        raise InputError("a freeze needs a reason: --reason '...'")
    return _said(settings, seen, log, at, action="freeze", frozen=reason, reason=reason, by=who)


def unfreeze(settings: Settings, reason: str = "", who: str = "", at: str = "") -> Entry:
    seen, log = _now(settings)
    if not log[-1].frozen:
        raise InputError("nothing is frozen")
    why = reason or f"the freeze ends: {log[-1].frozen}"
    return _said(settings, seen, log, at, action="unfreeze", frozen="", reason=why, by=who)


def _said(settings: Settings, seen: Seen, log: list[Entry], at: str, **changed: str) -> Entry:
    """A row that changes nothing of what is served."""
    entry = publications.following(log[-1], at, day=publications.latest_run(log), decision="", **changed)
    publications.switch(settings, seen, entry)
    return entry


def _now(settings: Settings) -> tuple[Seen, list[Entry]]:
    """(the pointer, the log with its row). Raises InputError before the first publication."""
    publications.settle(settings)
    seen = store(settings).look()
    log = publications.read(settings, seen)
    if not log:
        raise InputError("nothing was ever published: there is nothing to go back to and nothing to freeze")
    return seen, log


def _target(log: list[Entry], to: str | None, publication: int | None) -> Entry:
    now = log[-1]
    if to is None and publication is None:
        before = publications.predecessor(log)
        if before is None:
            raise InputError(
                f"publication {now.publication} serves the first model that was ever published: there is no earlier "
                "one to go back to; `adlens rollback --publication N` takes any publication of `adlens history`"
            )
        return before
    named = [entry for entry in log if entry.publication == publication or (to is not None and entry.version == to)]
    if not named:
        asked = f"version {to} was never published" if to is not None else f"no publication {publication}"
        known = ", ".join(dict.fromkeys(entry.version for entry in log if entry.version)) or "none"
        raise InputError(
            f"{asked}; the log holds publications 1 to {now.publication}, versions {known} (adlens history)"
        )
    if (to is not None and now.version == to) or named[-1].bundle == now.bundle:
        raise InputError(f"publication {named[-1].publication} is what is served already")
    return named[-1]
