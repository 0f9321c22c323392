"""A comparison as a table of Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from training.compare.figures import Figures
from training.metrics import Interval


def table_of(
    figures: Mapping[str, Mapping[str, Figures]], top: Mapping[str, float], costs: Mapping[str, Mapping[str, float]],
    rows: int, days: int, seeds: int, tune: int,
) -> str:  # fmt: skip
    lines = [
        f"{rows:,} held-out impressions of {days} day{'s' * (days > 1)}, {seeds} seed{'s' * (seeds > 1)}, "
        f"{tune} trial{'s' * (tune > 1)} of rates each; 95 % intervals over users and seeds"
    ]
    for what, each in figures.items():
        lines += [
            "", f"| {what} | AUC | sd over seeds | gain | closed of the gap | seconds | parameters |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]  # fmt: skip
        for name, one in each.items():
            cost = costs[name]
            lines.append(
                f"| {name} | {one.auc:.4f} | {one.spread:.4f} | {_signed(one.gain)} | {_share(one.closed)} | "
                f"{cost['seconds']:.0f} | {cost['parameters']:,.0f} |"
            )
        if what in top:
            lines.append(f"| best possible (true probabilities) | {top[what]:.4f} | | | 100 % | | |")
    return "\n".join(lines)


def _signed(found: Interval) -> str:
    return f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def _share(found: Interval | None) -> str:
    return "" if found is None else f"{found.value:.0%} [{found.low:.0%}, {found.high:.0%}]"
