"""Rule 4: nothing that is judged on a day may have seen it, nor may anything that it was warm-started from."""

from __future__ import annotations

from pathlib import Path

from contracts import artifacts
from contracts.errors import AdLensError

UNREADABLE = "cannot be read"  # an objection that may pass: the file can come back
LONGEST = 10_000  # generations; a chain that is longer bites its own tail


def objections(name: str, model: Path, day: str) -> list[str]:
    """Why `model` (address of a manifest) must not be judged on `day`; nothing if it may.

    A model that does not say what it was fitted on, or whose ancestor is gone, is objected to: it cannot be known.
    """
    address: str | None = str(model)
    generation = 0
    while address:
        who = name if generation == 0 else f"{name}'s ancestor {address}"
        try:
            manifest = artifacts.read(address, check_files=generation == 0)
        except AdLensError as error:
            return [f"{who} {UNREADABLE}: {error}"]
        if manifest.interval is None:
            return [f"{who} does not say which days it was fitted on"]
        start, end = manifest.interval
        if end > day:
            return [f"{who} was fitted on [{start}, {end}), which reaches into the held-out day {day} or past it"]
        generation += 1
        if generation > LONGEST:
            return [f"{name} has no first ancestor"]
        address = manifest.parent
    return []


def table_objections(name: str, table: str, day: str) -> list[str]:
    """Why the lookup table at `table` (address of a manifest) must not be judged on `day`: what was fitted for it, such
    as a reduction, carries its own days. A table for which nothing was fitted has none."""
    try:
        interval = artifacts.read(table, check_files=False).interval
    except AdLensError as error:
        return [f"the lookup table of {name} {UNREADABLE}: {error}"]
    if interval is None or interval[1] <= day:
        return []
    return [
        f"the lookup table of {name} was fitted on [{interval[0]}, {interval[1]}), which reaches into the held-out day "
        f"{day} or past it"
    ]
