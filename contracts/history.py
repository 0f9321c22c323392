"""The history before a day: which days each job has not built yet, and one ranged pass of each job over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from contracts import paths
from contracts.delta_log import days_of
from contracts.settings import Settings

# How many days before the window each table reaches: the window's first impressions see S(D - window - 1), and that
# snapshot counts seven folders.
REACH = {"impressions": 7, "ad_features": 1, "ad_groups": 0}
STAGES = {"impressions": ("impressions", "quality"), "ad_features": ("features",), "ad_groups": ("groups",)}

# A daily stage that first builds what its run needs of earlier days -> whose passes those are.
CATCHES_UP = {"impressions": ("impressions", "quality"), "groups": ("features", "groups")}


@dataclass(frozen=True)
class Pass:
    """One call of a job over [start, end)."""

    stage: str
    start: date
    end: date

    @property
    def command(self) -> list[str]:
        return ["spark_jobs", self.stage, "--start", self.start.isoformat(), "--end", self.end.isoformat()]


def built_days(settings: Settings, table: str) -> set[date]:
    """Days of which a Delta table holds rows; empty where there is no table."""
    return {date.fromisoformat(day) for day in days_of(paths.table(settings, table))}


def wanted_days(settings: Settings, table: str, first: date, day: date, landed: Sequence[date] | None) -> list[date]:
    """The landed days before `day` of which run `day` needs the table. `landed` None: every day from `first`."""
    start = max(first, day - timedelta(days=settings.window_days + REACH[table]))
    if table == "ad_groups" and start == first:
        start += timedelta(days=1)  # nothing was known before the first folder: its impressions form no groups
    span = [start + timedelta(days=n) for n in range((day - start).days)]
    return span if landed is None else sorted(set(span) & set(landed))


def ranges(days: Sequence[date]) -> list[tuple[date, date]]:
    """Days -> half-open intervals without a gap."""
    found: list[tuple[date, date]] = []
    for day in sorted(days):
        if found and found[-1][1] == day:
            found[-1] = (found[-1][0], day + timedelta(days=1))
        else:
            found.append((day, day + timedelta(days=1)))
    return found


def passes(settings: Settings, first: date, day: date, landed: Sequence[date] | None) -> list[Pass]:
    """What is left to build before run `day`, in the order of the path."""
    plan: list[Pass] = []
    for table, stages in STAGES.items():
        built = built_days(settings, table)
        days = [one for one in wanted_days(settings, table, first, day, landed) if one not in built]
        plan += [Pass(stage, start, end) for stage in stages for start, end in ranges(days)]
    return plan


def left_to(stage: str, settings: Settings, day: date, landed: Sequence[date]) -> list[Pass]:
    """The part of the history before `day` that its run of `stage` builds first, so that days can be run in any order.

    The log's part stays with the log's stage, which runs alone; snapshots and groups follow from the published log.
    """
    wanted = CATCHES_UP[stage]
    return [step for step in passes(settings, min(landed, default=day), day, landed) if step.stage in wanted]
