"""How far could any picture take this model? The planted effect of each look in the place of the CNN's vector.

`python -m benchmarks.true_looks --day 2026-01-30 --days 3 --seeds 2`, on the tables and the landing folder of a home
whose data were generated. Trains `daily_dcn`, `daily`, and `daily` with true looks, on the days before D; scores D
and the days after it without training again. True looks are the scores that the clicks were drawn from, one a factor
and picture: more than any CNN could see. Beside the AUC: how much each model has learnt of each planted cause, that
is the coefficient of the cause's true part of the logit in a least-squares fit of the model's logit; 1 is all, 0
nothing. Once for all impressions and once for those on an ad's first day, whose clicks nobody remembers.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from datetime import date, timedelta
from functools import lru_cache
from io import StringIO
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contracts.days import parse_day
from contracts.settings import Settings, load
from landing.ads import Cohort, make_cohort
from landing.shares import LOOKS, SHARES
from landing.traffic import make_traffic
from landing.world import LIFETIME, Sizes, make_world
from training import metrics
from training.compare.runs import own_home, pooled
from training.evaluate import Scored, score_day
from training.pictures import Pictures
from training.recipes import Recipe, recipe
from training.train import train_day

Floats = NDArray[np.float64]
TRUE = "DCN + true looks"
MODELS = {"DCN": "daily_dcn", "DCN + CSCNN": "daily", TRUE: "daily"}
SCALE = 85.0  # a score of at most sqrt(2) as 8 bits


class TrueLooks(nn.Module):
    """Pictures whose first pixels hold the scores of the looks [B, 3, S, S] -> x_v [B, V]."""

    def __init__(self, chosen: Recipe, categories: int):
        super().__init__()
        self.head = nn.Linear(len(LOOKS), chosen.visual_dimension)

    def forward(self, pictures_B3SS: Tensor, category_B: Tensor) -> Tensor:
        return self.head((pictures_B3SS[:, 0, 0, : len(LOOKS)].float() - 127.5) / SCALE)

    def prior_parameters(self) -> list[nn.Parameter]:
        return []


@contextmanager
def in_place_of_pictures(scores: Mapping[str, Floats]) -> Iterator[None]:
    """Within it the CNN is TrueLooks. `scores`: by digest of the picture, [factors]."""

    def load_scores(self: Pictures, digests: Sequence[str | None]) -> Tensor:
        out = np.full((len(digests), 3, self.size, self.size), 128, np.uint8)
        for digest, picture in zip(digests, out, strict=True):
            if digest in scores:
                picture[0, 0, : len(LOOKS)] = np.round(127.5 + SCALE * scores[digest])
        return torch.from_numpy(out)

    with patch("training.model.CSCNN", TrueLooks), patch.object(Pictures, "load", load_scores):
        yield


class Truth:
    """What was planted, drawn again from the generator's seed and sizes."""

    def __init__(self, settings: Settings):
        said = json.loads((settings.landing_path / "generator.json").read_bytes())
        sizes = Sizes(said["impressions"], said["ads"], said["users"], said["image_size"])
        self.world = make_world(said["seed"], sizes, said["looks"])
        self.cohort = lru_cache(None)(lambda entered: make_cohort(self.world, entered, said["shuffle_pictures"]))

    def looks(self, first: date, last: date) -> dict[str, Floats]:
        cohorts: Iterator[Cohort] = map(self.cohort, range(first.toordinal() - LIFETIME, last.toordinal() + 1))
        return {
            digest: score
            for cohort in cohorts
            for digest, score in zip(cohort.images, cohort.look_score, strict=True)
            if digest is not None
        }

    def causes(self, days: Sequence[date], ids: NDArray[np.object_]) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Of these impressions: parts of the logit [N, causes], the true probability [N], the ad's age in days [N]."""
        drawn = [make_traffic(self.world, day.toordinal(), self.cohort) for day in days]
        at = {key: n for n, key in enumerate(key for day in drawn for key in day.ids)}
        rows = [at[key] for key in ids]
        parts = np.concatenate([np.stack([day.terms[cause] for cause in SHARES], 1) for day in drawn])
        return (
            parts[rows], np.concatenate([day.probability for day in drawn])[rows],
            np.concatenate([day.age for day in drawn])[rows],
        )  # fmt: skip


def learnt(scored: Scored, parts: Floats) -> Floats:
    """The coefficient of each cause, [causes]."""
    logit = np.log(scored.score) - np.log1p(-scored.score)
    found, *_ = np.linalg.lstsq(np.column_stack([parts, np.ones(len(parts))]), logit, rcond=None)
    return found[:-1]


def of_day(model: str, day: date, days: Sequence[date], settings: Settings, looks: Mapping[str, Floats]) -> Scored:
    own = own_home(settings, f"true-looks/{model}")
    with in_place_of_pictures(looks) if model == TRUE else nullcontext():
        with redirect_stderr(StringIO()):
            address = train_day(day, own, recipe(MODELS[model]), lambda day, settings: None)
        print(f"{model}, seed {settings.seed}: trained", file=sys.stderr)
        return pooled(score_day(address.parent, one.isoformat(), own) for one in days)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", type=parse_day, required=True, help="trained on the days before it")
    parser.add_argument("--days", type=int, default=3, help="scored: this one and those after it")
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    settings, days = load(), [asked.day + timedelta(days=n) for n in range(asked.days)]
    truth = Truth(settings)
    looks = truth.looks(asked.day - timedelta(days=settings.window_days), days[-1])
    aucs: dict[str, list[float]] = {}
    coefficients: dict[str, list[Floats]] = {}
    for model in MODELS:
        for seed in range(settings.seed, settings.seed + asked.seeds):
            scored = of_day(model, asked.day, days, settings.model_copy(update={"seed": seed}), looks)
            parts, probability, age = truth.causes(days, scored.impression_id)
            first = age == 1
            aucs.setdefault(model, []).append(metrics.auc(scored.label, scored.score))
            cold = Scored(*(column[first] for column in vars(scored).values()))
            both = [learnt(scored, parts), learnt(cold, parts[first])]
            coefficients.setdefault(model, []).append(np.stack(both))
    best = metrics.auc(scored.label, probability)
    base, ceiling = np.mean(aucs["DCN"]), np.mean(aucs[TRUE])
    print("| model | AUC | by seed | of the way to true looks | to the true probabilities |")
    print("| --- | --- | --- | --- | --- |")
    for model, values in aucs.items():
        auc = np.mean(values)
        told = ", ".join(f"{value:.4f}" for value in values)
        shares = ((auc - base) / (top - base) for top in (ceiling, best))
        print(f"| {model} | {auc:.4f} | {told} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    print(f"| true probabilities | {best:.4f} | | | 100% |\n\n| learnt of, all / first day | {' | '.join(MODELS)} |")
    print("| --- |" + " --- |" * len(MODELS))
    means = {model: np.mean(each, 0) for model, each in coefficients.items()}
    for n, cause in enumerate(SHARES):
        print(f"| {cause} | " + " | ".join(f"{mean[0, n]:.2f} / {mean[1, n]:.2f}" for mean in means.values()) + " |")


if __name__ == "__main__":
    main()
