"""The picture: an ad a row, its maps under its own category and others, the differences; below, gates by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import PrerequisiteError
from training.attention_maps.gates import Gates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES = 1.7  # a picture's side


@dataclass(frozen=True)
class Row:
    """An ad. `picture` [S, S, 3] uint8. `maps` [1 + K, S, S] in 0..1, of its own category and of K others."""

    name: str
    picture: NDArray[np.uint8]
    maps: NDArray[np.float32]
    categories: Sequence[str]


def draw(rows: Sequence[Row], gates: Sequence[Gates], of: str, title: str, file: Path) -> None:
    """`of`: which layers' maps these are. Raises PrerequisiteError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise PrerequisiteError("matplotlib draws the picture and is not installed: pip install matplotlib") from None
    others = len(rows[0].maps) - 1
    columns = 2 + 2 * others
    whole = Figure(figsize=(INCHES * columns + 1, (INCHES + 0.25) * len(rows) + 3), layout="constrained")
    upper, lower = whole.subfigures(2, 1, squeeze=False, height_ratios=((INCHES + 0.25) * len(rows), 2.6))[:, 0]
    axes = upper.subplots(len(rows), columns, squeeze=False)
    low, high = np.percentile([row.maps for row in rows], (1, 99))
    most = max(float(np.abs(row.maps[1:] - row.maps[:1]).max()) for row in rows) or 1.0
    for row, line in zip(rows, axes, strict=True):
        line[0].imshow(row.picture)
        line[0].set_ylabel(row.name, fontsize=8)
        heat = _laid_over(line[1], row, 0, low, high)
        for at in range(1, others + 1):
            _laid_over(line[2 * at], row, at, low, high)
            change = line[2 * at + 1].imshow(row.maps[at] - row.maps[0], cmap="RdBu_r", vmin=-most, vmax=most)
            line[2 * at + 1].set_title("difference", fontsize=8)
    for one in axes.flat:
        one.set_xticks([])
        one.set_yticks([])
    upper.suptitle(title, fontsize=10)
    upper.colorbar(heat, ax=axes, fraction=0.02, pad=0.01, label=f"M_s of {of}").ax.tick_params(labelsize=7)
    upper.colorbar(change, ax=axes, fraction=0.02, pad=0.01, label="difference").ax.tick_params(labelsize=7)
    _spread(lower.subplots(), gates)
    whole.savefig(file, dpi=150)


def _laid_over(axes: Axes, row: Row, at: int, low: float, high: float) -> Any:
    """The map in colour, over the picture in grey."""
    axes.imshow(row.picture.mean(2), cmap="gray", vmin=0, vmax=255)
    axes.set_title(row.categories[at] + (" (its own)" if at == 0 else ""), fontsize=8)
    return axes.imshow(row.maps[at], cmap="inferno", alpha=0.65, vmin=low, vmax=high)


def _spread(axes: Axes, gates: Sequence[Gates]) -> None:
    at = np.arange(len(gates))
    axes.bar(at - 0.2, [one.channel_spread for one in gates], 0.4, label="channel gates M_c", color="C0")
    axes.bar(at + 0.2, [one.spatial_spread for one in gates], 0.4, label="spatial maps M_s", color="C1")
    axes.set_xticks(at, [one.name for one in gates], rotation=30, ha="right", fontsize=7)
    axes.set_ylabel("spread over the categories\n(standard deviation)", fontsize=8)
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
