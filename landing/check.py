"""`landing check`: says in words what is wrong in a landing folder, and whether each day would stop."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from contracts import rules, suite_files
from contracts.days import parse_day
from contracts.errors import InputError
from contracts.settings import LandingSettings, read_landing_yaml
from contracts.tables import LANDING
from landing.judging import Findings, judge_clicks, judge_impressions, judge_pictures, read_unique
from landing.reading import SAMPLE, Read, check_columns, find
from landing.row_rules import FolderDay, RowRules, unjudged

SHOWN_ROWS = 5
Kept = dict[tuple[object, ...], Read]


@dataclass
class DayReport:
    """`stops`: sentences, any of which stops the day. `files`: landing file name -> findings."""

    day: date
    stops: list[str] = field(default_factory=list)
    files: dict[str, Findings] = field(default_factory=dict)
    clicked: int = 0


@dataclass
class Checker:
    """Checks days in order and remembers what the next ones need: catalogues, impressions, pictures."""

    folder: Path
    settings: LandingSettings
    suites: dict[str, rules.Suite]
    there: list[date]
    catalogues: dict[date, set[object]] = field(default_factory=dict)
    shown: dict[date, dict[object, int]] = field(default_factory=dict)
    pictures: dict[object, str | None] = field(default_factory=dict)

    def check(self, day: date) -> DayReport:
        report = DayReport(day)
        if day not in self.there:
            report.stops.append(f"no folder day={day}; the folders run from {self.there[0]} to {self.there[-1]}")
            return report
        kept: dict[str, Kept] = {}
        for source in LANDING:
            found = self._read(day, source, report)
            if found is not None:
                kept[source] = found
        if "ads" in kept:
            judge_pictures(kept["ads"], self.folder / "images", self.pictures, self._of(report, "ads"))
            self.catalogues[day] = {values["ad_id"] for _, values, _ in kept["ads"].values()}
        if {"ads", "users", "impressions"} <= set(kept):
            known = self.catalogues[day] | self._catalogue(day - timedelta(days=1))
            users = {values["user_id"] for _, values, _ in kept["users"].values()}
            findings = self._of(report, "impressions")
            self.shown[day] = judge_impressions(kept["impressions"], known, users, findings)
        if "clicks" in kept and day in self.shown:
            self._clicks(day, kept["clicks"], report)
        self._judge_share(report)
        self._forget(day)
        return report

    def _read(self, day: date, source: str, report: DayReport) -> Kept | None:
        folder = self.folder / f"day={day}"
        try:
            path = find(folder, source)
            findings = report.files[path.name] = Findings(absent=check_columns(path, source))
            declared = RowRules(self.suites[source], FolderDay(day, self.settings))
            return read_unique(path, source, declared, findings)
        except InputError as error:
            if str(error) not in report.stops:  # an empty folder says so once, not five times
                report.stops.append(str(error))
            return None

    def _of(self, report: DayReport, source: str) -> Findings:
        return next(found for name, found in report.files.items() if name.split(".")[0] == source)

    def _clicks(self, day: date, kept: Kept, report: DayReport) -> None:
        before = [day - timedelta(days=n) for n in range(1, self.settings.lateness_days + 1)]
        before = [one for one in before if one >= self.there[0]]
        for one in before:
            self._impressions(one)
        shown = [self.shown[one] for one in [day, *before] if one in self.shown]
        complete = len(shown) == self.settings.lateness_days + 1
        reached = [day, *(one for one in before if one in self.shown)]
        report.clicked = judge_clicks(
            kept,
            shown,
            complete,
            FolderDay(min(reached), self.settings).start(),
            self.settings.attribution_window_minutes,
            self._of(report, "clicks"),
        )

    def _catalogue(self, day: date) -> set[object]:
        """Ads of a day that may not have been checked; nothing where it cannot be read (its own check says why)."""
        if day not in self.catalogues and day in self.there:
            kept = self._read(day, "ads", DayReport(day)) or {}
            self.catalogues[day] = {values["ad_id"] for _, values, _ in kept.values()}
        return self.catalogues.get(day, set())

    def _impressions(self, day: date) -> None:
        if day in self.shown or day not in self.there:
            return
        kept = self._read(day, "impressions", DayReport(day))
        if kept is not None:
            known = self._catalogue(day) | self._catalogue(day - timedelta(days=1))
            self.shown[day] = judge_impressions(kept, known, set(), Findings())

    def _judge_share(self, report: DayReport) -> None:
        counted = [found for name, found in report.files.items() if name.split(".")[0] in ("impressions", "clicks")]
        landed, aside = sum(f.landed for f in counted), sum(f.set_aside for f in counted)
        bound = self.settings.max_quarantined_share
        if landed and aside / landed > bound and not report.stops:
            share = f"{aside} of {landed} impressions and clicks ({aside / landed:.2%}) would be set aside"
            report.stops.append(f"{share}; the bound is {bound:.2%} (max_quarantined_share)")

    def _forget(self, day: date) -> None:
        oldest = day - timedelta(days=self.settings.lateness_days + 1)
        self.shown = {one: held for one, held in self.shown.items() if one > oldest}
        self.catalogues = {one: held for one, held in self.catalogues.items() if one > oldest}


def days_in(folder: Path) -> list[date]:
    """Raises InputError where there is no folder or no day in it."""
    if not folder.is_dir():
        raise InputError(f"no landing folder at {folder}; wanted a folder that holds day=YYYY-MM-DD/ folders")
    names = [match[1] for one in folder.iterdir() if one.is_dir() and (match := re.fullmatch(r"day=(.*)", one.name))]
    if not names:
        held = ", ".join(sorted(one.name for one in folder.iterdir())[:10]) or "nothing"
        raise InputError(f"{folder} holds no day; wanted folders named day=YYYY-MM-DD, found {held}")
    return sorted(parse_day(name) for name in names)


def run(folder: Path, day: str | None = None, say: Callable[[str], None] = print) -> int:
    """Checks one day or all, the days that are missing between them too. 2 if a day would stop, else 0."""
    there = days_in(folder)
    suites = suite_files.load(folder)
    suite_files.derived(folder)  # what is wrong there is told now, not when stage 3 has something to judge
    checker = Checker(folder, LandingSettings.model_validate(read_landing_yaml(folder)), suites, there)
    for sentence in unjudged(suites):
        say(sentence)
    span = (there[-1] - there[0]).days + 1
    days = [parse_day(day)] if day else [there[0] + timedelta(days=n) for n in range(span)]
    stopped = []
    for one in days:
        report = checker.check(one)
        for line in lines(report):
            say(line)
        if report.stops:
            stopped.append(one.isoformat())
    if stopped:
        say(f"{len(stopped)} of {len(days)} days would stop: {', '.join(stopped)}")
        return 2
    say(f"{'the day is' if len(days) == 1 else f'all {len(days)} days are'} usable")
    return 0


def lines(report: DayReport) -> list[str]:
    """The report of a day for a person: what stops it, then what would be set aside, then what is worth knowing."""
    landed = {name.split(".")[0]: found.landed for name, found in report.files.items()}
    counts = ", ".join(f"{count:,} {name}" for name, count in landed.items())
    text = [f"day={report.day}: {'WOULD STOP' if report.stops else 'usable'}{'; ' if counts else ''}{counts}"]
    text += [f"  stops the day: {sentence}" for sentence in report.stops]
    for name, found in report.files.items():
        where = f" in the first {SAMPLE} lines" if name.endswith(".jsonl") else ""
        text += [f"  told: {name} without column {column}{where}, read as null" for column in found.absent]
    for label, kind in (("set aside", "aside"), ("told", "told")):
        for name, found in report.files.items():
            for reason, numbers in sorted(getattr(found, kind).items()):
                text.append(f"  {label}: {name}, {_rows(name, numbers)}: {reason}")
    return text


def _rows(name: str, numbers: list[int]) -> str:
    """`line 3` or `rows 1, 5, 7 and 12 more`."""
    word = "line" if name.endswith(".jsonl") else "row"
    numbers = sorted(numbers)
    shown = ", ".join(map(str, numbers[:SHOWN_ROWS]))
    rest = f" and {len(numbers) - SHOWN_ROWS} more" if len(numbers) > SHOWN_ROWS else ""
    return f"{word}{'s' if len(numbers) > 1 else ''} {shown}{rest}"
