"""What Spark's event log says of a span of time: task seconds, the longest task, shuffle bytes, and where they went."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

OPTIONS = {
    "spark.eventLog.enabled": "true",
    "spark.eventLog.rolling.enabled": "false",
    "spark.eventLog.compress": "false",
    "spark.eventLog.buffer.kb": "1k",
}


def submit_arguments(folder: Path) -> str:
    """For PYSPARK_SUBMIT_ARGS, before the session is made."""
    options = OPTIONS | {"spark.eventLog.dir": folder.as_uri()}
    return " ".join(f"--conf {name}={value}" for name, value in options.items()) + " pyspark-shell"


@dataclass
class Tasks:
    """Of one Spark stage. Seconds; bytes written to shuffles."""

    name: str = ""
    seconds: list[float] = field(default_factory=list)
    shuffled: int = 0
    read: int = 0


@dataclass(frozen=True)
class Span:
    """Of a span of the log."""

    stages: list[Tasks]

    @property
    def seconds(self) -> float:
        return sum(sum(one.seconds) for one in self.stages)

    @property
    def shuffled(self) -> int:
        return sum(one.shuffled for one in self.stages)

    def longest(self) -> tuple[float, float, str]:
        """(seconds of the longest task, median of its stage's tasks, the stage) among stages of four tasks or more."""
        several = [one for one in self.stages if len(one.seconds) >= 4] or self.stages
        worst = max(several, key=lambda one: max(one.seconds))
        return max(worst.seconds), median(worst.seconds), worst.name

    def dearest(self, many: int) -> list[str]:
        """The stages that took most task seconds, a line each."""
        found = sorted(self.stages, key=lambda one: -sum(one.seconds))[:many]
        return [
            f"{sum(one.seconds):8.1f} s in {len(one.seconds):3} tasks, longest {max(one.seconds):5.1f} s, "
            f"{one.shuffled / 2**20:7.1f} MiB shuffled  {one.name}"
            for one in found
        ]


class EventLog:
    """The log of a running application, read on from where it was read last."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.at = folder, 0

    def span(self) -> Span:
        """What happened since the last call."""
        stages: dict[int, Tasks] = defaultdict(Tasks)
        for event in self._events():
            if event["Event"] == "SparkListenerTaskEnd" and event.get("Task Metrics"):
                metrics, stage = event["Task Metrics"], stages[event["Stage ID"]]
                stage.seconds.append(metrics["Executor Run Time"] / 1_000)
                stage.shuffled += metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"]
            elif event["Event"] == "SparkListenerStageCompleted":
                info = event["Stage Info"]
                stages[info["Stage ID"]].name = info["Stage Name"]
        return Span([one for one in stages.values() if one.seconds])

    def _events(self) -> Iterator[dict[str, Any]]:
        (file,) = self.folder.iterdir()
        with file.open("rb") as handle:
            handle.seek(self.at)
            for line in handle:
                if not line.endswith(b"\n"):
                    break  # still being written
                self.at += len(line)
                yield json.loads(line)
