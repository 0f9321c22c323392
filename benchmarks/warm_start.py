"""What a model should take over from yesterday's: nothing, the CNN's weights, or all. On days that it never saw.

    python -m benchmarks.warm_start --first 2026-02-09 --days 7 --seeds 2

For each held-out day D: `cold` trains on the 32 days before D from a random start; `CNN` the same, the CNN's weights
from its own model of D - 1; `all` goes on from all weights and rows of its own model of D - 1 and learns from that one
day. On the first day both take over from a cold model of the day before, whose seconds are told apart. Each model is
scored on its D; the days are pooled. Differences are to `cold`, with a paired bootstrap over users (of AUC over seeds
too), 95 %. Recipe and tables are the settings'; finished trainings are found again below <home>/compare/warm.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from datetime import date, timedelta
from io import StringIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.artifacts import read
from contracts.days import parse_day
from contracts.settings import Settings, load
from training.compare.figures import compared
from training.compare.runs import Result, own_home, pooled, result_of
from training.evaluate import Scored
from training.metrics.bootstrap import PERCENTILES, drawn
from training.metrics.likelihood import loss_of_rows
from training.metrics.rows import numbered
from training.recipes import recipe
from training.train import train_day

KINDS = {"cold": "none", "CNN": "cnn", "all": "all"}  # name -> recipe's field `warm`


def chains(days: Sequence[date], settings: Settings) -> tuple[dict[str, list[Result]], float]:
    """By kind, one result a day, each model from the one before it; and the seconds of the first parent."""

    def trained(day: date, warm: str, parent: Path | None) -> Path:
        chosen = recipe(settings.recipe).model_copy(update={"warm": warm})
        with redirect_stderr(StringIO()):  # several bars at a time would overwrite each other
            return train_day(day, settings, chosen, lambda day, settings: parent)

    start = trained(days[0] - timedelta(days=1), "none", None)
    results: dict[str, list[Result]] = {kind: [] for kind in KINDS}
    for kind, warm in KINDS.items():
        parent = start
        for day in days:
            parent = trained(day, warm, parent)
            results[kind].append(result_of(parent, day, settings))
            print(f"seed {settings.seed}, {kind}, {day}: done", file=sys.stderr)
    return results, float(read(start).figures["train_seconds"])


def sums(seeds: Sequence[Scored]) -> NDArray[np.float64]:
    """[4, U]: a user's rows, clicks, nats and predicted clicks, the last two as means over seeds."""
    first = seeds[0]
    names, user_of = numbered(first.user_id)
    clicked = first.label > 0
    parts = [np.ones(len(clicked)), clicked, np.mean([loss_of_rows(clicked, one.score) for one in seeds], 0),
             np.mean([one.score for one in seeds], 0)]  # fmt: skip
    return np.stack([np.bincount(user_of, part, len(names)) for part in parts])


def likelihood(of: NDArray[np.float64], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """(log loss, calibration) where a user counts `weights` times."""
    rows, clicks, nats, predicted = np.einsum("ku,u->k", of, weights.astype(np.float64))
    return np.array([nats / rows, predicted / clicks])


def lines(scored: dict[str, list[Scored]], samples: int, seed: int) -> Iterator[str]:
    """A row of the table a kind; the first is what the others are compared with."""
    every = np.ones(len(next(iter(scored.values()))[0].label), np.bool_)
    aucs = compared(list(scored.values()), None, every, samples, seed)
    by_user = [sums(seeds) for seeds in scored.values()]
    users = by_user[0].shape[1]
    told = np.array([likelihood(of, np.ones(users, np.int64)) for of in by_user])
    sampled = np.array([[likelihood(of, weights) for of in by_user] for weights in drawn(users, samples, seed)])
    low, high = np.percentile(sampled - sampled[:, :1], PERCENTILES, axis=0)
    for at, (kind, auc) in enumerate(zip(scored, aucs, strict=True)):
        cells = [f"{auc.auc:.4f}", f"{auc.gain.value:+.4f} [{auc.gain.low:+.4f}, {auc.gain.high:+.4f}]"]
        for which, digits in ((0, 5), (1, 3)):
            value, less = told[at, which], told[at, which] - told[0, which]
            cells += [f"{value:.{digits}f}", f"{less:+.{digits}f} [{low[at, which]:+.{digits}f}, "
                      f"{high[at, which]:+.{digits}f}]"]  # fmt: skip
        yield f"| {kind} | {' | '.join(cells)} |"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", required=True, metavar="D", help="first held-out day")
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2, help="seeds at a time")
    asked = parser.parse_args(argv)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads must not spin
    settings = load()
    own = own_home(settings, "warm")
    days = [parse_day(asked.first) + timedelta(days=n) for n in range(asked.days)]
    seeds = [own.model_copy(update={"seed": own.seed + n}) for n in range(asked.seeds)]
    with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
        done = list(pool.map(chains, [days] * len(seeds), seeds))
    each = {kind: [results[kind] for results, _ in done] for kind in KINDS}
    scored = {kind: [pooled(result.scored for result in results) for results in each[kind]] for kind in KINDS}
    rows, size = len(scored["cold"][0].label), f"{asked.days} days from {days[0]}, {asked.seeds} seeds"
    print(f"{settings.recipe}: {rows:,} held-out impressions of {size}\n")
    print("| taken over | AUC | to cold | log loss | to cold | calibration | to cold |\n" + "| --- " * 7 + "|")
    print("\n".join(lines(scored, settings.bootstrap_samples, settings.seed)), end="\n\n")
    for kind, of_seeds in each.items():
        costs = [result.cost for results in of_seeds for result in results]
        seconds, learnt = (np.mean([cost[what] for cost in costs]) for what in ("seconds", "impressions"))
        print(f"{kind}: {seconds:.1f} seconds a day, {learnt:,.0f} impressions learnt from")
    print(f"the first parent: {np.mean([seconds for _, seconds in done]):.1f} seconds")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
