"""The AUC of each rung as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from training.compare.figures import Figures


def draw(figures: Mapping[str, Figures], top: float | None, file: Path) -> None:
    whole = Figure(figsize=(7, 0.5 * len(figures) + 1.5), layout="constrained")
    axes = whole.subplots()
    names, base = list(figures), next(iter(figures.values())).auc
    for at, one in enumerate(figures.values()):
        axes.plot([base + one.gain.low, base + one.gain.high], [at, at], color="C0", linewidth=2)
        axes.plot([one.auc], [at], "o", color="C0")
        axes.annotate(f"{one.auc:.4f}", (one.auc, at), (0, 7), textcoords="offset points", ha="center", fontsize=8)
    if top is not None:
        axes.axvline(top, color="C2", linestyle="--", label=f"best possible {top:.4f}")
        axes.legend(loc="lower right", fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.7)
    axes.set_xlabel("AUC on held-out days; bars: 95 % interval of the gain over the first")
    axes.spines[["top", "right"]].set_visible(False)
    whole.savefig(file, dpi=150)
