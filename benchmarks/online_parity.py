"""Training and serving see the same: every code of every impression, ad and user of a day, from the online store.

`python -m benchmarks.online_parity --day 2026-02-03 [--set production]`: the day's groups are there and the online
store holds the day before, as it did when the day began: `adlens materialise` of D - 1 was the last one, then
impressions, quality and groups of D ran. What the predictor would have coded, from Feast's online store, the query
and the moment, is compared with the codes in `ad_groups`, for all that a model's features are made of; crosses and
pairs are made of these by one function on both sides (contracts.batch.rows_of). Impressions of the first minutes,
before a publication delay has passed, are left out. Exit code 1 for any difference.
"""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta

import numpy as np
import pyarrow.compute as pc
from deltalake import DeltaTable

from contracts import paths
from contracts.days import day_start, parse_day
from contracts.delta_dataset import dataset
from contracts.features import coded, context_values, feature_set
from contracts.settings import load
from release.judging.freshness import different
from serving.online_features import KEYS, OnlineFeatures, code_column
from training.columns import concatenate
from training.reader import chunks, open_table

AT_ONCE = 500  # ads of a question to the online store


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", type=parse_day, required=True)
    parser.add_argument("--set", default="production", help="feature set")
    asked = parser.parse_args()
    settings, day, whole = load(), asked.day.isoformat(), feature_set(asked.set)
    features = coded(whole)
    online = OnlineFeatures.open(settings)
    if online.day != (asked.day - timedelta(days=1)).isoformat():
        print(f"the online store holds {online.day}, wanted is the day before {day}", file=sys.stderr)
        return 2
    from_then = day_start(asked.day, settings.time_zone) + timedelta(minutes=settings.publication_delay_minutes)
    rows = concatenate(list(chunks(open_table(paths.table(settings, "ad_groups")), day, whole)))
    log = dataset(DeltaTable(paths.table(settings, "impressions")), [day]).to_table(
        columns=["impression_id", "shown_at", "query"], filter=pc.field("shown_at") >= from_then
    )
    columns = (log.column(name).to_pylist() for name in log.schema.names)
    shown = {key: (at, query) for key, at, query in zip(*columns, strict=True)}
    rows = rows.take(np.flatnonzero([key in shown for key in rows.impression_id]))
    wrong = 0
    for side in ("ad", "user", "context"):
        own = [feature for feature in features if feature.side == side]
        ids = rows.impression_id if side == "context" else getattr(rows, KEYS[side])
        names, of_N = np.unique(ids.astype(str), return_inverse=True)
        if side == "ad":
            parts = [online.ads(names[n : n + AT_ONCE].tolist(), whole) for n in range(0, len(names), AT_ONCE)]
            values = {f.name: [value for part in parts for value in part[f.name]] for f in own}
        else:
            each = [
                online.user(name, whole) if side == "user" else context_values(*shown[name], settings.time_zone)
                for name in names.tolist()
            ]  # fmt: skip
            values = {f.name: [one[f.name] for one in each] for f in own}
        online_codes = {f.name: code_column(f, values[f.name]).take(of_N) for f in own}
        found = {name: int(different(rows.codes[name], column).sum()) for name, column in online_codes.items()}
        wrong += sum(found.values())
        print(f"{side}: {len(names):,}, {len(own)} features, {len(rows):,} impressions: {sum(found.values())} differ")
        for name, count in found.items():
            if count:
                print(f"  {name}: {count}")
    print(f"{len(whole)} features of the set {asked.set} are made of these {len(features)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
