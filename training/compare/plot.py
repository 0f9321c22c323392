"""The AUC of what was compared as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def draw_sweep(
    fields: Sequence[str], figures: Mapping[str, Figures], costs: Mapping[str, Mapping[str, float]], file: Path
) -> None:
    """AUC over the fields' values, as CSCNN's Fig 5, and below it the seconds of a training."""
    whole = Figure(figsize=(1.3 * len(figures) + 2.5, 5), layout="constrained")
    upper, lower = whole.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    names, at = list(figures), range(len(figures))
    aucs, gains = zip(*((one.auc, one.gain) for one in figures.values()), strict=True)
    below, above = zip(*((max(0, g.value - g.low), max(0, g.high - g.value)) for g in gains), strict=True)
    upper.errorbar(at, aucs, (below, above), fmt="o-", capsize=3)
    upper.set_ylabel("AUC on held-out days;\nbars: 95 % interval of the gain over the first", fontsize=8)
    lower.bar(at, [costs[name]["seconds"] for name in figures], width=0.5, color="C7")
    lower.set_ylabel("seconds\na training", fontsize=8)
    for field in fields:  # the values below the axis, the fields as its name
        names = [name.replace(f"{field} = ", "") for name in names]
    lower.set_xticks(at, names)
    lower.set_xlabel(", ".join(fields))
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    whole.savefig(file, dpi=150)
