"""The way back: serve an earlier publication again, by one row in the log and one rename of the pointer."""

from __future__ import annotations

from contracts import paths
from contracts.errors import InputError
from contracts.settings import Settings
from release import publications
from release.publications import Entry
from serving.bundle import open_bundle


def rollback(settings: Settings, to: int | None = None, reason: str = "") -> Entry:
    """Without `to`: what was served before the model in service was first published. Returns the log's new row.

    The bundle is checked before anything is switched. Raises InputError where there is nothing to go back to,
    MissingArtifact or DamagedArtifact where that bundle cannot be served.
    """
    with publications.alone(settings):
        publications.settle(settings)
        log = publications.read(settings)
        if not log:
            raise InputError("nothing was ever published: there is nothing to go back to")
        target = _target(log, to)
        open_bundle(paths.bundles(settings) / target.bundle)
        last = log[-1]
        entry = Entry(
            day=max(one.day for one in log if one.action != "refresh"),
            publication=last.publication + 1,
            action="rollback",
            bundle=target.bundle,
            model=target.model,
            table=target.table,
            decision="",
            reason=reason or f"back to publication {target.publication}",
        )
        publications.append(settings, entry)
        publications.settle(settings)
    return entry


def _target(log: list[Entry], to: int | None) -> Entry:
    now = log[-1]
    if to is None:
        # Before the model in service was first published: a second rollback goes further back, not forth again.
        first = next(at for at, entry in enumerate(log) if entry.model == now.model)
        if first == 0:
            raise InputError(
                f"publication {now.publication} serves the first model that was ever published: there is no earlier "
                "one to go back to; `adlens rollback --to N` takes any publication of `adlens history`"
            )
        return log[first - 1]
    for entry in log:
        if entry.publication == to:
            if entry.bundle == now.bundle:
                raise InputError(f"publication {to} is what is served already")
            return entry
    raise InputError(f"no publication {to}; the log holds 1 to {now.publication} (adlens history)")
