"""Whether others may build on a day, as its audit has left it in a table of figures; and figures in words."""

from __future__ import annotations

from collections.abc import Sequence

from contracts import paths
from contracts.delta_dataset import dataset
from contracts.delta_log import days_of
from contracts.errors import MissingArtifact, QualityStop
from contracts.settings import Settings

SNAPSHOT_FIGURES, GROUP_FIGURES = "snapshot_figures", "group_figures"
STAGES = {SNAPSHOT_FIGURES: "features", GROUP_FIGURES: "groups"}


def refuse(settings: Settings, figures: str, days: Sequence[str]) -> None:
    """Raises QualityStop for the first of the days that an audit has stopped. Tables of a home that has no such figures
    were never audited: there is nothing to ask."""
    from deltalake import DeltaTable

    where = paths.table(settings, figures)
    if not DeltaTable.is_deltatable(where):
        return
    columns = ["day", "table", "figure", "value", "lower", "upper", "verdict"]
    rows = dataset(DeltaTable(where), days).to_table(columns=columns).to_pylist()
    stops = [row for row in rows if row["verdict"] == "stop" and row["day"] in days]
    if stops:
        day = min(row["day"] for row in stops)
        own = sorted((row for row in stops if row["day"] == day), key=lambda row: (row["table"], row["figure"]))
        said = ", ".join(observed(row["figure"], row["value"], row["lower"], row["upper"]) for row in own)
        raise QualityStop(
            f"the audit stopped {', '.join(sorted({row['table'] for row in own}))} of {day}, so nothing is built on "
            f"it: {said}. {remedy(settings, figures, own[0]['table'], day)}"
        )


def refuse_unjudged(settings: Settings, figures: str, days: Sequence[str]) -> None:
    """As `refuse`; also raises MissingArtifact for a day that no audit has judged: its stage was killed before."""
    refuse(settings, figures, days)
    where = paths.table(settings, figures)
    from deltalake import DeltaTable

    absent = sorted(set(days) - days_of(where)) if DeltaTable.is_deltatable(where) else []
    if absent:
        stage = STAGES[figures]
        raise MissingArtifact(
            f"table {figures} holds no figures of {', '.join(absent)}: stage `{stage}` ended before its audit; run "
            f"`adlens {stage} --start {absent[0]}`"
        )


def remedy(settings: Settings, figures: str, table: str, day: str) -> str:
    """What a person can do about a stop."""
    suite = settings.landing_path / "suites" / f"{table}.yaml"
    return (
        f"Mend what it is made of, or change the rule in {suite}; then `adlens {STAGES[figures]} --start {day}`. "
        f"Data Docs: {paths.data_docs_index(settings)}"
    )


def observed(figure: str, value: float | None, lower: float | None, upper: float | None) -> str:
    """`ctr 0.4 (from 0.05 up to 0.2)`."""
    return f"{figure} {_number(value)} ({_limits(lower, upper)})"


def _limits(lower: float | None, upper: float | None) -> str:
    """`from 0.05 up to 0.2`, `up to 0`."""
    low = "" if lower is None else f"from {_number(lower)}"
    high = "" if upper is None else f"up to {_number(upper)}"
    return " ".join(part for part in (low, high) if part) or "no bounds"


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.4g}"
