"""What the served model was worth on a day whose labels are complete, and whether that is within its band.

Run D looks at day d = D - lateness_days: nothing can change d's labels any more. d is scored with the bundle that the
publication log says was in service when d began, its own table, and the features S(d-1). The figures go to the Delta
table `served_quality`; a figure outside its band is an alarm (exit code 0, a sentence that begins with `alarm:`; the
DAG sends it on), and by the setting `auto_rollback` the way back, where the model that failed is still in service.

The band of a figure comes from its trailing days (at most 28): mean and 4 standard deviations, at least as wide as
LEAST. Before there are 7 of them, only BOUNDS hold. AUC and GAUC may not fall; calibration may go neither way. Log loss
is told and not judged: it moves with the day's click rate.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from deltalake import DeltaTable

from contracts import paths
from contracts.delta_dataset import dataset
from contracts.release_tables import RELEASE_TABLES
from contracts.settings import Settings
from release import delta
from release.judging.evidence import HeldOut
from release.judging.held_out import read_day, score
from release.judging.rule import describe
from release.publishing import publications
from release.publishing.publications import Entry
from release.publishing.rollback import rollback
from serving.bundle import open_bundle

NAME = "served_quality"
TRAILING, FEWEST, DEVIATIONS = 28, 7, 4.0
LEAST = {"auc": 0.02, "gauc": 0.03, "calibration": 0.15}  # half-widths; a calibration's is of its ln
BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "auc": (0.5, None), "gauc": (None, None), "calibration": (0.67, 1.5),
}  # fmt: skip


@dataclass(frozen=True)
class Watched:
    """`day`: whose labels are complete. `reasons`: figures outside their band; `action`: what was done about it."""

    day: str
    figures: dict[str, float]
    reasons: list[str]
    action: str = ""


def run(day: str, settings: Settings, at: str = "") -> Watched | None:
    """For run `day`. None where nothing served the day that has become mature, or it has no groups. `at`: UTC, ISO
    8601, for the log, should the model be taken back.

    A day that is in the table already is not measured again; what it asked for is done once. Raises MissingArtifact or
    DamagedArtifact where the bundle that served cannot be read.
    """
    mature = (date.fromisoformat(day) - timedelta(days=settings.lateness_days)).isoformat()
    log = publications.read(settings)
    served = publications.champion_of(log, mature)
    where = paths.table(settings, "ad_groups")
    if served is None or not delta.exists(where):
        return None
    groups = DeltaTable(where)
    if not delta.fingerprints(groups, [mature]):
        return None
    known = [row for row in measured(settings) if row["day"] <= mature]
    if known and known[-1]["day"] == mature:
        row = known[-1]
        return Watched(mature, {name: row[name] for name in BOUNDS}, json.loads(row["reasons"]))
    figures, counts = _figures(groups, mature, served, settings)
    bands = {name: band(name, [row[name] for row in known[-TRAILING:]]) for name in BOUNDS}
    reasons = outside(figures, bands)
    action = _back(served, log, mature, reasons, settings, at) if reasons and settings.auto_rollback else ""
    _write(mature, served, figures, counts, bands, reasons, settings)
    return Watched(mature, figures, reasons, action)


def measured(settings: Settings) -> list[dict[str, Any]]:
    """The table's rows, oldest day first."""
    where = paths.table(settings, NAME)
    if not delta.exists(where):
        return []
    rows = dataset(DeltaTable(where)).to_table().sort_by("day")
    return list(rows.to_pylist())


def band(name: str, before: Sequence[float | None]) -> tuple[float | None, float | None]:
    """(lower, upper) of a figure from its days before; a bound that it does not have is None."""
    lower, upper = BOUNDS[name]
    values = np.array([value for value in before if value is not None], np.float64)
    if len(values) < FEWEST:
        return lower, upper
    scaled = np.log(values) if name == "calibration" else values
    width = max(DEVIATIONS * float(scaled.std(ddof=1)), LEAST[name])
    low, high = float(scaled.mean()) - width, float(scaled.mean()) + width
    if name == "calibration":
        return math.exp(low), math.exp(high)
    return low, None


def outside(figures: Mapping[str, float], bands: Mapping[str, tuple[float | None, float | None]]) -> list[str]:
    """A sentence for each figure outside its band; one that could not be told is outside."""
    found = []
    for name, (lower, upper) in bands.items():
        value = figures[name]
        if math.isnan(value) or (lower is not None and value < lower) or (upper is not None and value > upper):
            wanted = " and ".join(
                f"{word} {bound:.4f}" for word, bound in (("at least", lower), ("at most", upper)) if bound is not None
            )
            found.append(f"{name} {value:.4f} has left its band: {wanted}")
    return found


def _figures(
    groups: DeltaTable, day: str, served: Entry, settings: Settings
) -> tuple[dict[str, float], dict[str, int]]:
    bundle = open_bundle(paths.bundles(settings) / served.bundle)
    rows = read_day(groups, day, bundle.features)
    scores, _ = score(NAME, bundle, rows)
    whole = HeldOut(rows.impression_id, rows.user_id, rows.label.astype(np.float64))
    return describe(whole, scores), {"rows": len(rows), "clicks": int(rows.label.sum())}


def _back(served: Entry, log: list[Entry], day: str, reasons: list[str], settings: Settings, at: str = "") -> str:
    """What was done: the way back only from the model that failed, and never from the first one."""
    if log[-1].model != served.model:
        return "no rollback: another model is in service since"
    if publications.predecessor(log) is None:
        return "no rollback: there is no earlier model"
    entry = rollback(settings, reason=f"by itself: on {day} {'; '.join(reasons)}", who=NAME, at=at)
    return f"rolled back: publication {entry.publication} serves bundle {entry.bundle[:12]}"


def _write(
    day: str, served: Entry, figures: Mapping[str, float], counts: Mapping[str, int],
    bands: Mapping[str, tuple[float | None, float | None]], reasons: list[str], settings: Settings,
) -> None:  # fmt: skip
    declared = RELEASE_TABLES[NAME]
    sides = [{name: both[at] for name, both in bands.items() if both[at] is not None} for at in (0, 1)]
    row = {
        "day": day, "publication": served.publication, "bundle": served.bundle, **counts,
        **{name: figures[name] for name in ("auc", "gauc", "log_loss", "calibration")},
        "lower": json.dumps(sides[0]), "upper": json.dumps(sides[1]),
        "level": "warn" if reasons else "pass", "reasons": json.dumps(reasons),
    }  # fmt: skip
    delta.append_once(paths.table(settings, NAME), delta.logged(declared, [row]), declared.key)


def main(argv: Sequence[str]) -> int:
    """`adlens served-quality --day D`. The last line is what the DAG reads: `alarm: ...`, or that all is well."""
    import argparse

    from contracts.days import parse_day
    from contracts.settings import load
    from release.publishing.publish import follow
    from release.stamp import now

    parser = argparse.ArgumentParser(prog="adlens served-quality", description=__doc__)
    parser.add_argument("--day", required=True, type=parse_day, help="the run; measured is lateness_days before it")
    settings, asked = load(), parser.parse_args(argv)
    found = run(asked.day.isoformat(), settings, now())
    if found is None:
        print(f"nothing served the day that is mature in run {asked.day}")
        return 0
    said = ", ".join(f"{name} {found.figures[name]:.4f}" for name in BOUNDS if found.figures[name] is not None)
    print(f"served on {found.day}: {said}")
    if found.action.startswith("rolled back"):
        print("\n".join(follow(settings)))
    if found.reasons:
        print(" ".join([f"alarm: {found.day}: {'; '.join(found.reasons)}", found.action]).strip())
    return 0
