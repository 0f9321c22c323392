"""`adlens train compare`: what each rung of CSCNN's Table 8 is worth on one's own data, or a recipe against another, or
values of a recipe's field against each other (Fig 5).

Trains each of them for every held-out day D on the days before it (rule 4), from scratch, with several seeds; scores
D; pools the days. Tuning, where asked for, gives each the same number of trials on the day before the first held-out
one. Finished trainings are found again: stop it and start it as you like. Tables and landing folder are only read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from contracts import paths
from contracts.artifacts import write_atomically
from contracts.days import parse_day
from contracts.errors import AdLensError, SettingsError
from contracts.settings import Settings, load
from training import metrics
from training.compare import checks
from training.compare.figures import Figures, compared, shown
from training.compare.plot import draw, draw_sweep
from training.compare.report import table_of
from training.compare.rungs import RUNGS, trials, variant
from training.compare.runs import Result, Run, carry_out, own_home, pooled
from training.compare.shuffled import with_shuffled_pictures
from training.compare.sweeps import sweep
from training.evaluate import Scored
from training.reader import open_table, training_interval
from training.recipes import Recipe, recipe
from training.stream import TABLES
from training.truth import true_probabilities


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="adlens train compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--last", required=True, metavar="D", help="last held-out day; it must have groups")
    parser.add_argument("--days", type=checks.positive, default=3, help="held-out days, up to the last one")
    parser.add_argument("--seeds", type=checks.positive, default=3)
    parser.add_argument(
        "--tune", type=checks.positive, default=1, metavar="N", help="trials of rates a rung; 1: the recipe's own"
    )
    parser.add_argument("--jobs", type=checks.positive, default=2, help="trainings at a time")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--rungs", nargs="+", metavar="NAME", help=f"some of: {', '.join(RUNGS)}")
    what.add_argument("--against", metavar="RECIPE", help="instead of the rungs: this recipe, then the setting's one")
    what.add_argument("--sweep", nargs="+", metavar="FIELD=V1,V2", help="instead: values of a field of the recipe, the "
                      "first is what gains are against; several fields change together")
    parser.add_argument("--shuffle", action="store_true", help="control: each ad gets another ad's picture")
    parser.add_argument("--name", help="of the folder below <home>/compare; default: from the other options")
    return parser.parse_args(argv)


def recipes_of(asked: argparse.Namespace, settings: Settings) -> dict[str, Recipe]:
    chosen = recipe(settings.recipe)
    if asked.against == settings.recipe:
        raise SettingsError(f"--against: '{asked.against}' is the setting's own recipe (ADLENS_RECIPE); name another")
    if asked.against:
        return {asked.against: recipe(asked.against), settings.recipe: chosen}
    if asked.sweep:
        return sweep(chosen, asked.sweep)
    checks.full_model(chosen)
    unknown = sorted(set(asked.rungs or ()) - set(RUNGS))
    if unknown:
        raise SettingsError(f"--rungs: no rung {', '.join(unknown)}; known: {', '.join(RUNGS)}")
    return {name: variant(chosen, name) for name in RUNGS if not asked.rungs or name in asked.rungs}


def _fields(asked: argparse.Namespace) -> list[str]:
    """Of the sweep; none where the rungs or two recipes are compared."""
    return [text.partition("=")[0] for text in asked.sweep or ()]


def tuned(recipes: Mapping[str, Recipe], asked: argparse.Namespace, settings: Settings) -> dict[str, Recipe]:
    """Of each one's trials that with the best AUC on the day before the first held-out one."""
    day = parse_day(asked.last) - timedelta(days=asked.days)
    tried = {name: trials(chosen, asked.tune, settings.seed) for name, chosen in recipes.items()}
    if asked.tune <= 1:
        return {name: one[0] for name, one in tried.items()}
    results = carry_out([Run(one, day, settings.seed) for each in tried.values() for one in each], settings, asked.jobs)
    checks.labels(results[0].scored.label, [day])
    aucs = np.reshape([metrics.auc(one.scored.label, one.scored.score) for one in results], (len(tried), asked.tune))
    for name, values in zip(tried, aucs.tolist(), strict=True):
        print(f"tuning on {day}: {name}: AUC {', '.join(f'{value:.4f}' for value in values)}", file=sys.stderr)
    return {name: each[int(at)] for (name, each), at in zip(tried.items(), aucs.argmax(1), strict=True)}


def main(argv: Sequence[str] | None = None) -> int:
    asked = parsed(argv)
    try:
        settings = load()
        kind = ["against"] * bool(asked.against) + ["sweeps"] * bool(asked.sweep) + ["shuffled"] * asked.shuffle
        own = own_home(settings, asked.name or "-".join(kind) or "rungs")
        if asked.shuffle:
            own = own.model_copy(update={"landing": with_shuffled_pictures(settings, own.home_path)})
        print(_compare(asked, settings, own))
    except AdLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _compare(asked: argparse.Namespace, settings: Settings, own: Settings) -> str:
    last = parse_day(asked.last)
    held_out = [last - timedelta(days=n) for n in reversed(range(asked.days))]
    chosen = recipes_of(asked, settings)
    before = [held_out[0] - timedelta(days=1)] if asked.tune > 1 else []  # what is tuned on
    checks.days(before + held_out, own, chosen.values())
    recipes = tuned(chosen, asked, own)
    seeds = [settings.seed + n for n in range(asked.seeds)]
    runs = [Run(one, day, seed) for one in recipes.values() for seed in seeds for day in held_out]
    results = np.array(carry_out(runs, own, asked.jobs), object).reshape(len(recipes), len(seeds), len(held_out))
    scored = [[pooled(result.scored for result in days) for days in of_seeds] for of_seeds in results]
    first = scored[0][0]
    checks.labels(first.label, held_out)
    best = true_probabilities(settings, [day.isoformat() for day in held_out], first.impression_id)
    known = np.ones(len(first.label), np.bool_) if best is None else np.isfinite(best)
    cold = known & _cold(dict(zip(held_out, results[0, 0], strict=True)), settings)
    slices = {"all": known, "cold ads": cold}
    samples, seed = settings.bootstrap_samples, settings.seed
    figures = {
        what: dict(zip(recipes, compared(scored, best, rows, samples, seed), strict=True))
        for what, rows in slices.items()
        if first.label[rows].any()
    }
    top = {} if best is None else {what: metrics.auc(first.label[r], best[r]) for what, r in slices.items()}
    costs = {name: _cost(of_recipe.ravel().tolist()) for name, of_recipe in zip(recipes, results, strict=True)}
    home = own.home_path / "-".join(_fields(asked))  # sweeps share trainings, not reports
    return _written(home, asked, first, figures, top, costs, recipes)


def _cold(results: Mapping[date, Result], settings: Settings) -> np.ndarray:
    """Of the pooled rows those whose ad had no impression in its own day's training window."""
    table = open_table(paths.table(settings, TABLES["ad"]))
    parts = []
    for day, result in results.items():
        days = training_interval(table, day, settings.window_days, settings.min_training_days)
        parts.append(metrics.cold(result.scored.ad_id, shown(table, days)))
    return np.concatenate(parts)


def _cost(results: Sequence[Result]) -> dict[str, float]:
    """Means of a training."""
    return {what: float(np.mean([result.cost[what] for result in results])) for what in results[0].cost}


def _written(
    home: Path, asked: argparse.Namespace, first: Scored, figures: Mapping[str, Mapping[str, Figures]],
    top: Mapping[str, float], costs: Mapping[str, Mapping[str, float]], recipes: Mapping[str, Recipe],
) -> str:  # fmt: skip
    text = table_of(figures, top, costs, rows=len(first.label), days=asked.days, seeds=asked.seeds, tune=asked.tune)
    whole = {
        "asked": vars(asked), "best_possible": dict(top), "costs": dict(costs),
        "recipes": {name: one.model_dump(mode="json") for name, one in recipes.items()},
        "figures": {what: {name: asdict(one) for name, one in each.items()} for what, each in figures.items()},
    }  # fmt: skip
    write_atomically(home / "report.md", text + "\n")
    write_atomically(home / "figures.json", json.dumps(whole, indent=2) + "\n")
    if asked.sweep:
        draw_sweep(_fields(asked), figures["all"], costs, home / "auc.png")
    else:
        draw(figures["all"], top.get("all"), home / "auc.png")
    return f"{text}\n\n{home / 'report.md'}, figures.json, auc.png"
