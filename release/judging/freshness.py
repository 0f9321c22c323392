"""DESIGN's rules 3 and 5: what is scored are the values that serving would have known, S(D-1).

A day whose groups carry an older snapshot judges another system than the one that will serve. So a sample of the day's
ads and users is looked up in the snapshot tables again, and coded by the predictor's own code.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray

from contracts import paths
from contracts.batch import CodeColumn
from contracts.delta_dataset import dataset
from contracts.features import Feature, coded
from contracts.settings import Settings
from release import delta
from serving.online_features import KEYS, Value, code_column
from training.columns import Impressions

SAMPLE = 500  # ads, and users, that are looked up
NAMED = 3  # features in the sentence
TOLERATED = 0.01  # of them may differ in a feature: a person who was erased between the two readings


def objections(rows: Impressions, features: Sequence[Feature], day: str, settings: Settings) -> list[str]:
    """Why the day's codes are not those of the snapshot before it; nothing if they are. Raises MissingArtifact where a
    snapshot table is not there."""
    found = []
    for side, ids in (("ad", rows.ad_id), ("user", rows.user_id)):
        own = [f for f in coded(features) if f.side == side and f.name not in KEYS.values()]
        if own:
            found += _side(side, ids.astype(str), rows, own, day, settings)
    return found


def snapshots(day: str, settings: Settings) -> list[str]:
    """The days whose snapshots the impressions of `day` may see, the latest first: with a publication delay the day's
    first impressions still see the snapshot before the last one."""
    latest = date.fromisoformat(day) - timedelta(days=1)
    delay = -(-settings.publication_delay_minutes // 1440)
    return [(latest - timedelta(days=n)).isoformat() for n in range(1 + delay)]


def looked_up(day: str, settings: Settings) -> dict[str, dict[str, str]]:
    """Fingerprints of what `objections` reads, by table: a snapshot that is built or mended asks the question anew."""
    found = {}
    for side in KEYS:
        where = paths.table(settings, f"{side}_features")
        there = delta.exists(where)
        found[side] = delta.fingerprints(DeltaTable(where), snapshots(day, settings)) if there else {}
    return found


def _side(
    side: str, ids: NDArray[np.str_], rows: Impressions, features: Sequence[Feature], day: str, settings: Settings
) -> list[str]:
    names, first = np.unique(ids, return_index=True)
    random = np.random.default_rng(settings.seed)
    chosen = np.sort(random.choice(len(names), min(SAMPLE, len(names)), replace=False))
    logged = {feature.name: rows.codes[feature.name].take(first[chosen]) for feature in features}
    differs = np.ones((len(features), len(chosen)), np.bool_)
    seen = snapshots(day, settings)
    for snapshot in seen:
        values = _values(side, names[chosen].tolist(), features, snapshot, settings)
        if values is None:
            return [f"{side}_features holds no snapshot of {snapshot}, which the impressions of {day} see"]
        differs &= np.stack([different(logged[f.name], code_column(f, values[f.name])) for f in features])
    counts = {feature.name: int(differs[at].sum()) for at, feature in enumerate(features)}
    stale = {name: n for name, n in counts.items() if not n <= TOLERATED * len(chosen)}
    if not stale:
        return []
    named = ", ".join(f"{name} of {n}" for name, n in sorted(stale.items(), key=lambda one: -one[1])[:NAMED])
    return [
        f"the features of {day} are not those of the snapshot before it ({seen[0]}): of {len(chosen)} {side}s differ "
        f"{named}{' and more' if len(stale) > NAMED else ''}; run the stage groups for {day} again"
    ]


def _values(
    side: str, ids: list[str], features: Sequence[Feature], day: str, settings: Settings
) -> dict[str, list[Value]] | None:
    """Values by feature in the order of the ids, None for an entity that is not there; None without a snapshot."""
    table = delta.opened(paths.table(settings, f"{side}_features"), "the stage features")
    rows, key = dataset(table, [day]), KEYS[side]
    if not rows.count_rows():
        return None
    found = rows.to_table(columns=[key, *(f.name for f in features)], filter=pc.field(key).isin(ids))
    place = {name: at for at, name in enumerate(found.column(key).to_pylist())}
    columns = {f.name: found.column(f.name).to_pylist() for f in features}
    return {name: [values[place[i]] if i in place else None for i in ids] for name, values in columns.items()}


def different(logged: CodeColumn, wanted: CodeColumn) -> NDArray[np.bool_]:
    """Which entities' codes are not the same."""
    there = logged.present & wanted.present
    equal = (logged.present == wanted.present) & (~there | (logged.codes == wanted.codes))
    return ~(equal if equal.ndim == 1 else equal.all(axis=1))
