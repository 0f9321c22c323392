"""How a step's exit code gets past KFP, which knows only that a step failed: a file that the step leaves in the home.

The pipeline's caller names the file by the setting `outcome`; without it nothing is written.
"""

from __future__ import annotations

from pathlib import Path

from contracts.artifacts import write_atomically
from contracts.errors import AdLensError
from contracts.settings import Settings


def place(settings: Settings, day: str) -> Path:
    return settings.home_path / "kfp" / f"outcome-{day}"


def failed(settings: Settings | None, error: AdLensError) -> int:
    """Leaves the error's exit code for the caller, and returns it."""
    if settings is not None and settings.outcome is not None:
        write_atomically(settings.outcome, str(error.exit_code))
    return error.exit_code


def taken(where: Path) -> int | None:
    """The code that a step has left, which is gone then; None where it has left none."""
    try:
        return int(where.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    finally:
        where.unlink(missing_ok=True)
