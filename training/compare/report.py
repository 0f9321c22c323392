"""A comparison as a table of Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from training.compare.figures import Figures
from training.metrics import Interval

COSTS = ("seconds", "impressions/s", "impressions a step", "impressions a pass", "parameters")


def table_of(
    figures: Mapping[str, Mapping[str, Figures]], top: Mapping[str, float], costs: Mapping[str, Mapping[str, float]],
    rows: int, days: int, seeds: int, tune: int,
) -> str:  # fmt: skip
    lines = [
        f"{rows:,} held-out impressions of {days} day{'s' * (days > 1)}, {seeds} seed{'s' * (seeds > 1)}, "
        f"{tune} trial{'s' * (tune > 1)} of rates each; 95 % intervals over users{' and seeds' * (seeds > 1)}"
    ]
    for what, each in figures.items():
        lines += [
            "", f"| {what} | AUC | sd over seeds | gain | to the one before | closed of the gap | "
            f"{' | '.join(COSTS)} |",
            "| --- " * (6 + len(COSTS)) + "|",
        ]  # fmt: skip
        for name, one in each.items():
            lines.append(
                f"| {name} | {one.auc:.4f} | {one.spread:.4f} | {_signed(one.gain)} | {_signed(one.step)} | "
                f"{_share(one.closed)} | "
                f"{' | '.join(_cost(costs[name]))} |"
            )
        if what in top:
            lines.append(f"| best possible (true probabilities) | {top[what]:.4f} | | | | 100 % |" + " |" * len(COSTS))
    return "\n".join(lines)


def _cost(of: Mapping[str, float]) -> list[str]:
    """As COSTS; a pass is a picture's through the CNN."""
    rates = [of["impressions"] / of[per] if of[per] else None for per in ("seconds", "steps", "pictures")]
    per_second, per_step, per_pass = ("" if rate is None else f"{rate:,.1f}" for rate in rates)
    return [f"{of['seconds']:.0f}", per_second, per_step, per_pass, f"{of['parameters']:,.0f}"]


def _signed(found: Interval | None) -> str:
    return "" if found is None else f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def _share(found: Interval | None) -> str:
    return "" if found is None else f"{found.value:.0%} [{found.low:.0%}, {found.high:.0%}]"
