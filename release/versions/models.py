"""`adlens models`: the versions of this slot, one of them whole, and what changed between two."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts import artifacts
from contracts.artifacts import Manifest
from contracts.settings import Settings
from release.judging.gate import DECISION
from release.publishing import publications
from release.publishing.candidate import model_config
from release.publishing.history import served
from release.versions import registry

Change = tuple[str, str, str, str]  # part, what, in the first, in the second
PARTS = ("data", "config", "features", "figures")


def listed(settings: Settings) -> None:
    from rich.console import Console
    from rich.table import Table

    log = served(publications.read(settings))
    table = Table(title=f"versions of {settings.slot}, newest first")
    for column in ("version", "aliases", "day", "recipe", "gate", "served", "note"):
        table.add_column(column, overflow="fold")
    for one in registry.versions(settings):
        spans = [f"{row.entry.at[:16]} to {row.until[:16] or 'now'}" for row in log if row.entry.version == one.number]
        note = f"refused: {one.tags['refused']}" if "refused" in one.tags else one.tags.get("promoted", "")
        table.add_row(
            one.number, " ".join(one.aliases), one.tags.get("day", "?"), one.tags.get("recipe", "?"),
            one.tags.get("verdict", "-"), spans[-1] if spans else "never", note[:160],
        )  # fmt: skip
    Console().print(table)


def shown(number: str, settings: Settings) -> None:
    found = registry.version(settings, number)
    address = registry.model_of(found, settings)
    told = {
        "version": found.number, "aliases": list(found.aliases), "mlflow_run": found.run, "tags": found.tags,
        "address": str(address), "manifest": artifacts.read(address).model_dump(mode="json"),
        "served": [
            {"from": row.entry.at, "until": row.until or "now", "why": row.entry.reason, "by": row.entry.by}
            for row in served(publications.read(settings)) if row.entry.version == found.number
        ],
    }  # fmt: skip
    print(json.dumps(told, indent=2, ensure_ascii=False))


def compared(first: str, second: str, settings: Settings) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{settings.slot}: what changed from version {first} to {second}")
    for column in ("", "what", first, second):
        table.add_column(column, overflow="fold")
    changes = differences(*(_whole(number, settings) for number in (first, second)))
    for change in changes:
        table.add_row(*change)
    Console().print(table) if changes else print("nothing changed")


def differences(first: Mapping[str, Mapping[str, Any]], second: Mapping[str, Mapping[str, Any]]) -> list[Change]:
    """Everything that is not equal, by PARTS; what one of them lacks is an empty text."""
    found = []
    for part in PARTS:
        for name in sorted({**first[part], **second[part]}):
            one, other = first[part].get(name), second[part].get(name)
            if one != other:
                found.append((part, name, _text(one), _text(other)))
    return found


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _whole(number: str, settings: Settings) -> dict[str, dict[str, Any]]:
    found = registry.version(settings, number)
    address = registry.model_of(found, settings)
    manifest, config = artifacts.read(address), model_config(address.parent)
    return {
        "data": _data(manifest),
        "config": {**_flat(config["recipe"]), **_code(manifest)},
        "features": {name: "yes" for name in config["features"]},
        "figures": {**_numbers(manifest.figures), **_gate(found.tags.get("decision"))},
    }


_CODE = ("code", "config", "seed", "time_zone")


def _code(manifest: Manifest) -> dict[str, str]:
    return {name: manifest.inputs[name][:12] for name in _CODE if name in manifest.inputs}


def _data(manifest: Manifest) -> dict[str, Any]:
    start, end = manifest.interval or ("?", "?")
    digests = {f"{name} (digest)": value[:12] for name, value in manifest.inputs.items() if name not in _CODE}
    versions = {f"{name} (Delta version)": value for name, value in manifest.versions.items()}
    return {"days": f"[{start}, {end})", "parent": manifest.parent, **digests, **versions, **manifest.rows}


def _flat(recipe: Any) -> dict[str, Any]:
    return dict(recipe) if isinstance(recipe, dict) else {"recipe": recipe}


def _numbers(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if isinstance(value, int | float)}


def _gate(decision: str | None) -> dict[str, Any]:
    """The challenger's figures on its held-out day, where its decision is kept."""
    path = Path(decision).parent / DECISION if decision else None
    if path is None or not path.is_file():
        return {}
    told = json.loads(path.read_bytes())
    return {f"gate {name}": value for name, value in told["figures"].get("challenger", {}).items()}
