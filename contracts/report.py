"""What a stage says of its run: one small JSON file, read by `make day`'s closing table and by the daily summary."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from contracts.artifacts import write_atomically
from contracts.settings import Settings


class StageReport(BaseModel):
    """`day` is the run's last day; `versions` the Delta version of each table after the stage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    day: str
    seconds: float
    rows_in: int = 0
    rows_out: int = 0
    set_aside: int = 0
    versions: dict[str, int] = {}
    counts: dict[str, int] = {}  # by reason or kind
    remarks: list[str] = []  # sentences for a person


def write(settings: Settings, report: StageReport) -> None:
    where = settings.home_path / "runs" / report.day / f"{report.stage}.json"
    write_atomically(where, report.model_dump_json(indent=2) + "\n")


def read_all(settings: Settings, day: str) -> list[StageReport]:
    """The day's reports in the order of the stages' files."""
    folder = settings.home_path / "runs" / day
    return [StageReport.model_validate_json(file.read_bytes()) for file in sorted(folder.glob("*.json"))]
