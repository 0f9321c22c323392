"""What a person sees while a day runs: a line a stage, its seconds, and which one is at work."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from contracts.report import StageReport, read_all
from contracts.settings import Settings

STAGES = (
    "1-impressions", "2-quality", "3-features", "3-materialise", "4-groups",
    "5-train", "6-lookup-table", "7-gate", "8-publish",
)  # fmt: skip


@dataclass
class Progress:
    """Watches the day's stage reports: those written since `since` (Unix seconds) belong to this run."""

    settings: Settings
    day: str
    since: float
    began: float = field(default_factory=time.monotonic)
    spinner: Spinner = field(default_factory=lambda: Spinner("dots"))
    shown: set[str] = field(default_factory=set)

    def done(self) -> dict[str, StageReport]:
        folder = self.settings.home_path / "runs" / self.day
        fresh = {file.stem for file in folder.glob("*.json") if file.stat().st_mtime >= self.since}
        return {report.stage: report for report in read_all(self.settings, self.day) if report.stage in fresh}

    def working(self) -> str | None:
        """The first stage that has not reported; None when all have."""
        done = self.done()
        return next((stage for stage in STAGES if stage not in done), None)

    def render(self) -> RenderableType:
        done = self.done()
        lines: list[RenderableType] = []
        for stage in STAGES:
            if stage in done:
                report = done[stage]
                lines.append(Text(f"  done  {stage:<16} {report.seconds:7.1f} s   {report.rows_out:>9,} rows", "green"))
            elif stage == self.working():
                self.spinner.update(text=f"   {stage:<16} {time.monotonic() - self.began:7.0f} s since the start")
                lines += [Text("", end=""), self.spinner]
            else:
                lines.append(Text(f"        {stage}", "dim"))
        return Group(*lines)

    def follow(self, console: Console, running: Callable[[], bool], every: float = 0.5) -> None:
        """Until `running` says no. Where the output is no terminal: a line for each stage as it finishes."""
        if not console.is_terminal:
            while running():
                self._say_new(console)
                time.sleep(every)
            self._say_new(console)
            return
        with Live(self.render(), console=console, refresh_per_second=4) as live:
            while running():
                live.update(self.render())
                time.sleep(every)
            live.update(self.render())

    def _say_new(self, console: Console) -> None:
        done = self.done()
        for stage in STAGES:
            if stage in done and stage not in self.shown:
                self.shown.add(stage)
                console.print(f"  done  {stage:<16} {done[stage].seconds:7.1f} s   {done[stage].rows_out:>9,} rows")
