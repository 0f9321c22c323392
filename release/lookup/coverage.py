"""Frequency control: which ads the budget takes in, and what share of a day's impressions that covers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.artifacts import write_atomically
from contracts.paths import table
from contracts.settings import Settings
from release import delta
from release.lookup.catalogue import Catalogue
from release.lookup.expectation import Counts, Expectation
from serving.table import STORAGE, Codec, Codes

TABLE, CURVE, PICTURE = "table_coverage", "coverage.json", "coverage.png"
POINTS = 200
SCHEMA = pa.schema(
    [
        ("day", pa.string()),  # whose impressions are covered
        ("model", pa.string()),  # address of the manifest of the model whose table it is
        ("predicted", pa.float64()),  # share of them, as it was expected when the day began
        ("measured", pa.float64()),  # share of them, counted
        ("impressions", pa.int64()),
        ("ads", pa.int64()),  # in the table
        ("ads_outside", pa.int64()),  # of the catalogue, beyond the budget
        ("bytes", pa.int64()),  # of the table's vectors and codes
    ]
)


def bytes_an_ad(codec: Codec, visual: int) -> int:
    """A code and a vector."""
    return 8 + (visual if codec.basis is None else len(codec.basis)) * np.dtype(STORAGE[codec.storage]).itemsize


def by_worth(catalogue: Catalogue, expectation: Expectation) -> NDArray[np.int64]:
    """The catalogue's ads, the most expected impressions first; among equals by code."""
    return np.lexsort((catalogue.codes, -expectation.shown))


def inside(order: NDArray[np.int64], budget: int, each: int) -> NDArray[np.bool_]:
    """The ads that `budget` bytes hold."""
    kept = np.zeros(len(order), np.bool_)
    kept[order[: budget // each]] = True
    return kept


@dataclass(frozen=True)
class Curve:
    """Share of a day's impressions that the first `ads` ads cover. `measured` is empty before the day is over."""

    ads: list[int]
    predicted: list[float]
    measured: list[float]

    def at(self, ads: int, which: str = "predicted") -> float:
        return float(np.interp(ads, self.ads, getattr(self, which)))


def curve(
    codes: Codes, order: NDArray[np.int64], expectation: Expectation, counted: Counts | None = None,
    exactly: Sequence[int] = (),
) -> Curve:  # fmt: skip
    """`exactly`: numbers of ads that are points of the curve in any case."""
    even = np.linspace(0, len(order), min(POINTS, len(order)) + 1).astype(int).tolist()
    points = sorted({*even, *(min(one, len(order)) for one in exactly)})

    def shares(shown: NDArray[np.float64], total: float) -> list[float]:
        sums = np.concatenate([[0.0], np.cumsum(shown[order])])
        return [float(sums[at] / total) if total else 0.0 for at in points]

    known = 1 - expectation.strangers
    predicted = shares(expectation.shown * known, float(expectation.shown.sum()))
    if counted is None or not len(counted.codes):
        return Curve(points, predicted, [])
    return Curve(points, predicted, shares(counted.of(codes).astype(np.float64), float(counted.shown.sum())))


def record(
    settings: Settings, day: str, model: str, known: Curve, ads: int, catalogue: int, each: int, shown: int
) -> int:
    """The day's row of `table_coverage`. Returns the table's version."""
    row = {
        "day": day, "model": model, "predicted": known.at(ads), "measured": known.at(ads, "measured"),
        "impressions": shown, "ads": ads, "ads_outside": catalogue - ads, "bytes": ads * each,
    }  # fmt: skip
    rows = pa.Table.from_pylist([row], schema=SCHEMA)
    return delta.replace_day(table(settings, TABLE), day, rows, "model")[0]


def write(where: Path, day: str, known: Curve, tomorrow: Curve, ads: int, each: int) -> None:
    """The curves as JSON, and as a picture where matplotlib is installed."""
    curves = {"day": known.__dict__, "day_after": tomorrow.__dict__, "ads": ads, "bytes_an_ad": each}
    write_atomically(where / CURVE, json.dumps(curves) + "\n")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    whole = Figure(figsize=(7, 4), layout="constrained")
    axes = whole.subplots()
    megabytes = [each * n / 1e6 for n in known.ads]
    axes.plot([each * n / 1e6 for n in tomorrow.ads], tomorrow.predicted, color="C0", label="day after: predicted")
    axes.plot(megabytes, known.predicted, color="C1", linestyle="--", label=f"{day}: predicted")
    if known.measured:
        axes.plot(megabytes, known.measured, color="C2", label=f"{day}: measured")
    axes.axvline(each * ads / 1e6, color="0.5", linestyle=":", label="table")
    axes.set_xlabel(f"table, MB ({each} bytes an ad)")
    axes.set_ylabel("share of the day's impressions")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    whole.savefig(where / PICTURE, dpi=150)
