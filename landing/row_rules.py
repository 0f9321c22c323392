"""The declared row rules (contracts/rules.py) on rows as landing.reading gives them: stage 1 has the same in Spark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from contracts import rules
from contracts.days import day_start
from contracts.settings import LandingSettings

SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class FolderDay:
    """A folder's business day."""

    day: date
    settings: LandingSettings

    def start(self, days_before: int = 0) -> int:
        """Microseconds since 1970 at which the day so many days before begins."""
        moment = day_start(self.day - timedelta(days=days_before), self.settings.time_zone)
        return int((moment - _EPOCH).total_seconds()) * SECOND

    def bounds(self) -> tuple[int, int]:
        """The day [start, end)."""
        return self.start(), self.start(-1)


@dataclass(frozen=True)
class RowRules:
    """What sets aside a row of one file of one folder."""

    suite: rules.Suite
    folder: FolderDay

    def broken(self, values: Mapping[str, object]) -> str | None:
        """The words of the first rule that is broken; None where none is. Rules in SQL are not judged."""
        return next((rule.words for rule in self.suite.landed() if _breaks(rule, values, self.folder)), None)


def unjudged(suites: Mapping[str, rules.Suite]) -> list[str]:
    """Sentences on the rules that only Spark can judge."""
    found = [rule for suite in suites.values() for rule in suite.landed() if isinstance(rule, rules.Sql)]
    return [f"not judged here: rule {rule.name} is SQL, which stage 1 judges: {rule.words}" for rule in found]


def _breaks(rule: rules.AnyRule, values: Mapping[str, object], folder: FolderDay) -> bool:
    if isinstance(rule, rules.NotNull):
        return values.get(rule.column) is None
    if isinstance(rule, rules.Sql) or any(values.get(name) is None for name in rule.columns_used()):
        return False
    if isinstance(rule, rules.OneOf):
        value = values[rule.column]
        return (value.decode() if isinstance(value, bytes) else value) not in rule.values
    if isinstance(rule, rules.Between):
        number = float(str(values[rule.column]))
        number = float("inf") if number != number else number
        low = rule.at_least is not None and number < rule.at_least
        return low or (rule.at_most is not None and number > rule.at_most)
    if isinstance(rule, rules.NotBefore):
        other = int(str(values[rule.other])) - rule.slack_seconds * SECOND
        return int(str(values[rule.column])) < other
    if isinstance(rule, rules.NotLongBefore):
        return int(str(values[rule.column])) < folder.start(rule.days)
    if isinstance(rule, rules.NotAfterFolderDay):
        return int(str(values[rule.column])) >= folder.bounds()[1]
    assert isinstance(rule, rules.InFolderDay), "unique and click_in_window set no row aside"
    start, end = folder.bounds()
    return not start <= int(str(values[rule.column])) < end
