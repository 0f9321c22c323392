"""A home belongs to one landing folder, or its tables would mix two click logs. `<home>/landing.json` says which."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from contracts.artifacts import write_atomically
from contracts.errors import DamagedArtifact, InputError, SettingsError
from contracts.settings import Settings


def _note(settings: Settings) -> Path:
    return settings.home_path / "landing.json"


def recalled(settings: Settings) -> Path | None:
    """The foreign folder that this home has taken; None for the generated data or a home without a day.

    Raises DamagedArtifact when the note cannot be read.
    """
    note = _note(settings)
    if not note.is_file():
        return None
    try:
        folder = json.loads(note.read_text(encoding="utf-8"))["landing"]
        return Path(folder) if folder else None
    except (ValueError, KeyError, TypeError):
        raise DamagedArtifact(f'{note} should read {{"landing": "<folder>"}} or {{"landing": null}}') from None


def settle(settings: Settings, asked: Path | None) -> Path | None:
    """The landing folder of this home, noted on first use; None for the generated data.

    `asked` is what the person named now (None: nothing). Raises SettingsError when the home has taken another one,
    InputError when the folder is not there.
    """
    wanted = asked.expanduser().resolve() if asked else None
    if _note(settings).is_file():
        known = recalled(settings)
        if wanted is not None and wanted != known:
            raise SettingsError(
                f"{settings.home_path} holds the tables of {known or 'the generated landing data'} and cannot take "
                f"{wanted} beside it; name another home: ADLENS_HOME=folder"
            )
        return known
    if wanted is not None and not wanted.is_dir():
        raise InputError(f"there is no landing folder {wanted}; it must hold day=YYYY-MM-DD/ folders and images/")
    write_atomically(_note(settings), json.dumps({"landing": str(wanted) if wanted else None}) + "\n")
    return wanted


def landed_days(landing: Path) -> list[date]:
    """The business days of which the folder has a `day=YYYY-MM-DD`, in order."""
    days = []
    for folder in landing.glob("day=*"):
        try:
            days.append(date.fromisoformat(folder.name.removeprefix("day=")))
        except ValueError:
            continue  # `adlens landing check` complains about such names
    return sorted(days)
