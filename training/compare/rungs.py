"""What is compared: CSCNN's Table 8 as variants of one recipe, and the settings that tuning may try."""

from __future__ import annotations

import numpy as np

from training.recipes import Recipe

PLAIN = {"attention": "none", "category_prior": False}
RUNGS: dict[str, dict[str, object]] = {
    "DCN": {"backbone": "none"},
    "DCN + fixed CNN": {**PLAIN, "cnn_fixed": True},
    "DCN + finetuned CNN": PLAIN,
    "DCN + CBAM": {"category_prior": False},
    "DCN + CSCNN": {},
}
RATES = ("dense_rate", "cnn_rate", "prior_rate", "embedding_rate")
SPREAD = 3.0  # a tried rate is the recipe's times or divided by at most this


def variant(base: Recipe, rung: str) -> Recipe:
    """`base` with what the rung changes, checked as any recipe is."""
    return Recipe.model_validate(base.model_dump() | RUNGS[rung] | {"name": f"{base.name}, {rung}"})


def trials(chosen: Recipe, budget: int, seed: int) -> list[Recipe]:
    """The recipe itself and `budget` - 1 others with rates drawn log-uniformly; every rung gets the same draws."""
    random = np.random.default_rng(seed)
    drawn = SPREAD ** random.uniform(-1, 1, (max(0, budget - 1), len(RATES)))
    factors = [dict(zip(RATES, row, strict=True)) for row in drawn.tolist()]
    return [chosen] + [
        chosen.model_copy(update={name: getattr(chosen, name) * factor for name, factor in each.items()})
        for each in factors
    ]
