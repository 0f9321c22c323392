"""How the held-out day is cut: each row's slice in every dimension of the rule.

Shapes: N impressions.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray

from contracts import paths
from contracts.delta_dataset import dataset
from contracts.errors import DamagedArtifact
from contracts.settings import Settings
from release import delta
from release.judging.evidence import DIMENSIONS, Labels
from training.columns import Impressions

CATEGORIES = 50  # the largest; the rest is one slice
LAST_POSITION = 10  # this one and all after it are one slice
COLD = {"ads": "ad_ctr_7d", "users": "user_ctr_7d"}  # empty where the last seven folders never showed it


def slices_of(
    rows: Impressions, known: NDArray[np.bool_], groups: DeltaTable, day: str, settings: Settings
) -> dict[str, Labels]:
    """Labels by dimension (release.judging.evidence.DIMENSIONS) of the day's rows, which are ordered by impression id.

    `known` [N]: whether the challenger's table held the row's ad. An ad or a user is cold where the seven days before
    the day never showed it: its history features are empty.
    """
    cold = {name: ~rows.codes[feature].present for name, feature in COLD.items()}
    labels = {
        "category": _categories(rows, day, settings),
        "position": _positions(rows, groups, day),
        "ads": _named(cold["ads"], "cold", "warm"),
        "users": _named(cold["users"], "cold", "warm"),
        "table": _named(known, "in the table", "outside the table"),
    }
    return {name: labels[name] for name in DIMENSIONS}


def _named(which: NDArray[np.bool_], yes: str, no: str) -> Labels:
    return np.where(which, yes, no).astype(object)


def _categories(rows: Impressions, day: str, settings: Settings) -> Labels:
    """By the catalogue at the end of the day, which holds the ads that entered on it."""
    table = delta.opened(paths.table(settings, "ads"), "the stage impressions")
    shown = pa.array(sorted(set(rows.ad_id.tolist())), pa.string())
    of_ad: dict[str, str | None] = {}
    for batch in dataset(table, [day]).to_batches(
        columns=["ad_id", "category_id"], filter=pc.field("ad_id").isin(shown)
    ):
        of_ad.update(zip(batch.column("ad_id").to_pylist(), batch.column("category_id").to_pylist(), strict=True))
    found = [of_ad.get(ad) for ad in rows.ad_id.tolist()]
    largest = {name for name, _ in Counter(found).most_common(CATEGORIES)}
    return np.array([name if name in largest else "the rest" for name in found], object)


def _positions(rows: Impressions, groups: DeltaTable, day: str) -> Labels:
    """Raises DamagedArtifact where the log holds other impressions than were scored."""
    ids, slots = [], []
    for batch in dataset(groups, [day]).to_batches(columns=["impressions"]):
        inner = batch.column("impressions").flatten()
        ids.append(pc.struct_field(inner, "impression_id").to_numpy(zero_copy_only=False))
        slots.append(pc.struct_field(inner, "position").fill_null(-1).to_numpy(zero_copy_only=False))
    at = np.concatenate(ids).astype(str)
    order = np.argsort(at, kind="stable")
    if not np.array_equal(at[order], rows.impression_id.astype(str)):
        raise DamagedArtifact(f"ad_groups of {day} changed while it was read; run the stage gate again")
    slot = np.concatenate(slots)[order]
    names = [f"{n:02d}" for n in range(LAST_POSITION)] + [f"{LAST_POSITION} and on"]
    return np.array([None if n < 0 else names[min(n, LAST_POSITION)] for n in slot.tolist()], object)
