"""What a Delta commit says of itself: who wrote, in which run, which days, and why. Delta keeps it (`userMetadata`)
beside its own commit time, so that the history of a table and its data cannot disagree.

{"stage": "1-impressions", "start": "2026-02-03", "end": "2026-02-04",
 "why": {"2026-02-02": "late clicks landed in folder 2026-02-03", "2026-02-03": "folder ingested"},
 "again": ["2026-02-02"]}
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.days import Days


class Commit(BaseModel):
    """`why`: day written or deleted -> reason; `again`: those of them that held rows before; `by`: the mark of a run
    that may meet others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    start: str
    end: str
    why: dict[str, str]
    again: list[str] = []
    by: str = ""


@dataclass(frozen=True)
class Cause:
    """Why a stage writes: `reason` for the days of its run; `before` and `after` for older and newer days that it
    writes again (empty: the same reason)."""

    stage: str
    run: Days
    reason: str
    before: str = ""
    after: str = ""
    by: str = ""

    def message(self, days: Sequence[str], held: Collection[str] = ()) -> str:
        """The commit's message. `days`: what is written; `held`: days that held rows before."""
        start, end = self.run.start.isoformat(), self.run.end.isoformat()
        other = {day: self.before if day < start else self.after if day >= end else "" for day in days}
        why = {day: other[day] or self.reason for day in days}
        again = [day for day in days if day in held]
        said = Commit(stage=self.stage, start=start, end=end, why=why, again=again, by=self.by)
        return said.model_dump_json(exclude=None if self.by else {"by"})


JUDGED_AGAIN = "clicks that had waited for another day were judged again"
LOOKED_BACK = "it looks back on a day that was built since"


def late_clicks(run: Days) -> str:
    """Why a run writes days before it again."""
    days = run.texts()
    span = f"folder {days[0]}" if len(days) == 1 else f"folders {days[0]} to {days[-1]}"
    return f"late clicks landed in {span}"


def parsed(message: object) -> Commit | None:
    """The commit that wrote `message`; None for a commit of somebody else."""
    try:
        return Commit.model_validate(json.loads(str(message)))
    except (ValueError, ValidationError):
        return None
