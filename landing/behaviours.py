"""What users did with the items outside the ads, in line with their taste, so that history features say something."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from contracts.tables import BEHAVIOUR_KINDS
from landing.ads import Cohort, shown_days
from landing.faults import Row
from landing.shares import scale
from landing.streams import BEHAVIOURS, DAY_MICROS, micros, stream
from landing.world import CATEGORY_NAMES, World

KIND_SHARES = (0.8, 0.1, 0.06, 0.04)
KEENNESS = 2.5  # how sharply behaviour follows taste


def make_behaviours(world: World, day: int, cohort: Callable[[int], Cohort]) -> list[Row]:
    """Rows in order of time. A user's category follows softmax(KEENNESS x his taste), the item is a live ad of it."""
    rng, n = stream(world.seed, BEHAVIOURS, day), world.sizes.behaviours
    live = [cohort(entered) for entered in shown_days(day)]
    ids = [ad_id for c in live for ad_id in c.ids]
    category = np.concatenate([c.category for c in live])
    user = rng.choice(world.sizes.users, n, p=world.activity)
    taste = scale("user_category") * world.user_category[user]
    taste = taste + scale("gender_category") * world.gender_category[world.gender[user]]
    # Gumbel's trick: the argmax of logit plus Gumbel noise is a draw of the softmax.
    wanted = np.argmax(KEENNESS * taste + rng.gumbel(size=(n, len(CATEGORY_NAMES))), axis=1)
    by_category = [np.flatnonzero(category == c) for c in range(len(CATEGORY_NAMES))]
    pick = rng.random(n)
    kind = rng.choice(len(BEHAVIOUR_KINDS), n, p=KIND_SHARES)
    at = np.sort(micros(day) + rng.integers(0, DAY_MICROS, n))
    rows: list[Row] = []
    for number in range(n):
        among = by_category[wanted[number]]
        if not len(among):  # a tiny catalogue may lack a category
            among = np.arange(len(ids))
        rows.append(
            {
                "user_id": world.user_ids[user[number]],
                "ad_id": ids[among[int(pick[number] * len(among))]],
                "kind": BEHAVIOUR_KINDS[kind[number]],
                "at": int(at[number]),
            }
        )
    return rows
