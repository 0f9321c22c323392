"""Whether a decision still speaks of what is there: nothing is published on a judgement of something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contracts import artifacts, paths
from contracts.errors import AdLensError
from contracts.settings import Settings
from release import delta


def stale(address: Path, decision: dict[str, Any], settings: Settings) -> str | None:
    """What has changed since the gate looked: labels or features of the day, or the table. None if nothing has."""
    day, inputs = decision["day"], artifacts.read(address).inputs
    try:
        groups = delta.opened(paths.table(settings, "ad_groups"), "the stage groups")
        if artifacts.digest(delta.fingerprints(groups, [day])) != inputs["ad_groups"]:
            return f"the impressions of {day} have been written again since (late clicks, or another feature set)"
        if artifacts.file_digest(Path(decision["table"])) != inputs["table"]:
            return f"the lookup table {decision['table']} has been made again since"
    except (AdLensError, OSError) as error:
        return f"what it was made from cannot be read ({error})"
    return None
