"""What the gate costs: both models, bootstrap, slices, pictures and tables over a made day, by the real `gate.run`.

    python -m benchmarks.gate_cost --rows 500000

Included: reading the day's groups, both models' scores by the predictor's arithmetic, lineage, the freshness sample,
slices, 1,000 paired bootstrap samples of users, three pictures, `gate_decisions` and `evaluation_slices`. Not included:
the start of the interpreter, the lookup table (stage 6) and making the day. The codes are drawn from as many distinct
values as the default day has, the labels from the users' rates; the snapshot tables are empty of values, so the verdict
is a no for want of freshness, after everything has been computed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from deltalake import DeltaTable, write_deltalake

from benchmarks.made_scores import CATEGORIES, PER_USER, POSITIONS
from contracts import artifacts, paths
from contracts.features import Feature, feature_set
from contracts.hashing import code
from contracts.settings import Settings
from release.judging import gate
from release.judging.decisions import read_decision
from release.lookup import lookup_table
from release.publishing.candidate import write_candidate
from release.publishing.publications import Entry
from serving.checked import digest_of
from training import reader
from training.model import CTRModel, save
from training.recipes import recipe
from training.rows_fit import fit

DAY = date(2026, 1, 20)
BEFORE = DAY - timedelta(days=1)
DISTINCT, LISTED = 1_000, 5  # values of a feature, and entries of a list
SHARE = 25  # impressions of a group
FEATURES = feature_set("daily")


def _codes(feature: Feature, rows: int, random: np.random.Generator) -> pa.Array:
    if feature.kind == "numeric":
        return pa.array(random.random(rows))
    if feature.kind in ("multi_hot", "sequence"):
        flat = pa.array(random.integers(0, DISTINCT, rows * LISTED))
        return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32) * LISTED), flat)
    return pa.array(random.integers(0, DISTINCT, rows))


def make_day(settings: Settings, rows: int) -> None:
    """`ad_groups` of the day, the catalogue, and snapshots without values."""
    random = np.random.default_rng(1)
    groups, users = rows // SHARE, rows // PER_USER
    ads = np.array([f"ad{n}" for n in range(groups)])
    user = random.integers(0, users, rows)
    rate = np.random.default_rng(2).beta(1, 9, users)[user]
    inner = {
        "impression_id": pa.array([f"i{n:09d}" for n in range(rows)]),
        "shown_at": pa.array(np.full(rows, 1_768_867_200_000_000), pa.timestamp("us", tz="UTC")),
        "position": pa.array(random.integers(0, POSITIONS, rows).astype(np.int32)),
        "label": pa.array((random.random(rows) < rate).astype(np.int32)),
        "user_id": pa.array([f"u{n}" for n in user.tolist()]),
    } | {f"c_{f.name}": _codes(f, rows, random) for f in FEATURES if f.side in ("user", "context")}
    inner["c_user_ctr_7d"] = pa.array(rate)
    lists = pa.ListArray.from_arrays(
        pa.array(np.arange(groups + 1, dtype=np.int32) * SHARE),
        pa.StructArray.from_arrays(list(inner.values()), names=list(inner)),
    )
    outer = {"ad_id": pa.array(ads), "image": pa.nulls(groups, pa.string())}
    outer |= {f"c_{f.name}": _codes(f, groups, random) for f in FEATURES if f.side == "ad"}
    outer["c_ad_id"] = pa.array([code(ad) for ad in ads])
    day = {"day": pa.array([DAY.isoformat()] * groups), "group_id": pa.array(ads)}
    _write(settings, "ad_groups", pa.table(day | outer | {"impressions": lists}))
    for text in (BEFORE.isoformat(), DAY.isoformat()):
        categories = [f"c{n % CATEGORIES}" for n in range(groups)]
        catalogue = {"day": [text] * groups, "ad_id": ads, "category_id": categories, "image": outer["image"]}
        _write(settings, "ads", pa.table(catalogue))
    for side, ids in (("ad", ads), ("user", np.array([f"u{n}" for n in range(users)]))):
        kinds = {"numeric": pa.float64(), "multi_hot": pa.list_(pa.string()), "sequence": pa.list_(pa.string())}
        own = [f for f in FEATURES if f.side == side and f.name != f"{side}_id"]
        empty = {f.name: pa.nulls(len(ids), kinds.get(f.kind, pa.string())) for f in own}
        snapshot = {"day": [BEFORE.isoformat()] * len(ids), f"{side}_id": ids} | empty
        _write(settings, f"{side}_features", pa.table(snapshot))


def _write(settings: Settings, name: str, rows: pa.Table) -> None:
    write_deltalake(paths.table(settings, name), rows, mode="append", partition_by=["day"])


def make_model(settings: Settings, seed: int) -> Path:
    """A model of the default recipe with random weights, its rows fitted on the day (nothing here is learnt)."""
    chosen, table = recipe("daily"), reader.open_table(paths.table(settings, "ad_groups"))
    maps = fit(list(FEATURES), reader.chunks(table, DAY.isoformat()), chosen.number_sample, seed)
    torch.manual_seed(seed)
    inputs = {"seed": str(seed)}
    where = artifacts.fresh(artifacts.folder(paths.artifacts(settings), "model", DAY.isoformat(), inputs))
    save(where, chosen, list(FEATURES), maps, CTRModel(chosen, FEATURES, maps).eval(), settings.time_zone)
    interval = ((DAY - timedelta(days=32)).isoformat(), DAY.isoformat())
    manifest = artifacts.Manifest(
        kind="model", day=DAY.isoformat(), key=artifacts.digest(inputs), inputs=inputs, interval=interval
    )
    return artifacts.finish(where, manifest)


def champion_of(settings: Settings, model: Path) -> Entry:
    table = lookup_table.run(model, settings)
    draft = paths.bundles(settings) / "draft"
    draft.mkdir(parents=True)
    write_candidate(draft, DAY.isoformat(), model, str(table), lookup_table.gate_table(table), settings.time_zone)
    named = draft.rename(draft.with_name(digest_of(draft)))
    return Entry(BEFORE.isoformat(), 1, "publish", named.name, str(model), str(table), "", "made")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        make_day(settings, asked.rows)
        champion = champion_of(settings, make_model(settings, 1))
        table = lookup_table.run(make_model(settings, 2), settings)
        wall, processor = time.perf_counter(), time.process_time()
        address = gate.run(table, settings, champion)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        decision = read_decision(address)
        slices = DeltaTable(paths.table(settings, "evaluation_slices")).to_pyarrow_table().num_rows
    assert decision["comparisons"]["champion"]["low"] is not None, decision["reasons"]
    print(f"{decision['impressions']:,} impressions, {settings.bootstrap_samples} samples, {slices} slices: ", end="")
    print(f"{wall:.1f} s, {processor:.1f} s of processor; a thousand ads in {decision['service']['latency_ms']:.1f} ms")


if __name__ == "__main__":
    main()
