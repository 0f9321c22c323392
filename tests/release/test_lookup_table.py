"""The lookup table: what it holds, what it does not compute twice, what it says of itself."""

from __future__ import annotations

import json
import shutil

import numpy as np
from deltalake import DeltaTable

from contracts import artifacts, paths, report
from contracts.batch import CodeColumn
from contracts.delta_dataset import dataset
from contracts.hashing import code
from release.lookup import catalogue, expectation, lookup_table, vectors, visual_delta
from training.model import embed_pictures

DAY = "2026-01-20"


def test_vectors_are_the_cnns(world):
    for n in range(6):
        world.draw(f"{n:064x}", 40 * n)
    model = world.model(DAY)
    address = lookup_table.run(model, world.settings)
    table = lookup_table.served_table(address)
    ids = [f"ad-{n:03d}" for n in range(12)]
    found, known = table.of([*ids, "stranger"])
    wanted = embed_pictures(
        model.parent, [(f"{n // 2:064x}", code(f"c{n // 2 % 3}")) for n in range(12)] + [(None, None)], world.settings
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)  # fp16
    assert known.tolist() == [True] * 12 + [False]
    assert len(lookup_table.gate_table(address).codes) == 10


def test_equal_pairs_once_and_nothing_twice(world):
    for n in range(6):
        world.draw(f"{n:064x}", 40 * n)
    model = world.model(DAY)
    address = lookup_table.run(model, world.settings)
    rows = artifacts.read(address).rows
    # D-1: 10 ads, 5 pairs and the fallback; D: one pair more, the others are there already
    assert rows["computed"] == 6 + 1 and rows["reused"] == 6 and rows["pairs"] == 7
    world.catalogue("2026-01-21", 14)
    again, _ = lookup_table.make(model, "2026-01-21", world.settings)
    # ads 12 and 13 share a picture whose file is missing; it is computed for one catalogue only
    assert artifacts.read(again).rows["computed"] == 1
    assert report.read_all(world.settings, DAY)[0].counts["reused"] == 6


def test_the_next_day_with_the_same_cnn_and_pictures_computes_nothing(world):
    for n in range(6):
        world.draw(f"{n:064x}", 40 * n)
    model = world.model(DAY)
    lookup_table.run(model, world.settings)
    world.catalogue("2026-01-21", 12)
    tomorrow = world.model("2026-01-21")  # another artifact of the same weights
    rows = artifacts.read(lookup_table.run(tomorrow, world.settings)).rows
    assert rows["computed"] == 0 and rows["reused"] == 2 * 7 and rows["ads_in_table"] == 12


def test_a_picture_that_lands_later_is_seen(world):
    model = world.model(DAY)
    first, _ = lookup_table.make(model, DAY, world.settings)
    grey = lookup_table.served_table(first).of(["ad-000"])[0].copy()
    world.draw(f"{0:064x}", 250)
    artifacts.fresh(first.parent)
    second, _ = lookup_table.make(model, DAY, world.settings)
    assert not np.allclose(lookup_table.served_table(second).of(["ad-000"])[0], grey)


def test_another_cnn_reuses_nothing(world):
    for n in range(6):
        world.draw(f"{n:064x}", 40 * n)
    one = lookup_table.run(world.model(DAY), world.settings)
    other = lookup_table.run(world.model(DAY, seed=9), world.settings)
    assert artifacts.read(other).rows["computed"] == artifacts.read(one).rows["computed"] == 7


def test_the_delta_table_and_a_second_run(world):
    model = world.model(DAY)
    address = lookup_table.run(model, world.settings)
    assert not DeltaTable.is_deltatable(paths.table(world.settings, "visual_table")), "nothing is served yet"
    visual_delta.publish_delta(address, world.settings)
    table = DeltaTable(paths.table(world.settings, "visual_table"))
    rows = dataset(table).to_table().sort_by("ad_id").to_pydict()
    assert rows["ad_id"] == [f"ad-{n:03d}" for n in range(12)]
    assert str(rows["event_timestamp"][0]) == "2026-01-21 00:00:00+00:00"
    wanted = lookup_table.served_table(address).of(rows["ad_id"])[0]
    np.testing.assert_array_equal(np.array(rows["vector"], np.float32), wanted)
    assert lookup_table.run(model, world.settings) == address
    assert visual_delta.publish_delta(address, world.settings) == table.version()
    assert DeltaTable(paths.table(world.settings, "visual_table")).version() == table.version()


def test_the_budget_the_fallback_and_the_coverage(world):
    """Ads 0 to 3 are shown most; the budget holds four ads; the others get their category's mean vector."""
    for n in range(6):
        world.draw(f"{n:064x}", 40 * n)
    ids = [f"ad-{n:03d}" for n in range(12)]
    world.catalogue("2026-01-18", 10)
    world.log("2026-01-19", {ad: 100 if n < 4 else 10 for n, ad in enumerate(ids[:10])})
    world.log(DAY, {ad: 100 if n < 4 else 5 for n, ad in enumerate(ids)})
    whole = lookup_table.served_table(lookup_table.run(world.model(DAY), world.settings))
    each = 8 + 2 * whole.dimension
    world.settings = world.settings.model_copy(update={"table_bytes": 4 * each + 3})
    address = lookup_table.run(world.model(DAY), world.settings)
    table, manifest = lookup_table.served_table(address), artifacts.read(address)
    categories = CodeColumn.categorical([code(f"c{n // 2 % 3}") for n in range(12)])
    found, known = table.of(ids, categories)
    assert known.tolist() == [True] * 4 + [False] * 8
    own = whole.of(ids)[0]
    np.testing.assert_array_equal(found[:4], own[:4])
    outside = [4, 5, 10, 11]  # of category c2 all; ads 10 and 11 have just entered and are expected like their cohort
    assert np.ptp(found[outside], axis=0).max() == 0
    low, high = own[outside].min(axis=0), own[outside].max(axis=0)
    assert ((found[4] >= low - 1e-6) & (found[4] <= high + 1e-6)).all()
    np.testing.assert_array_equal(table.of(["stranger"])[0], whole.of(["stranger"])[0])

    (row,) = dataset(DeltaTable(paths.table(world.settings, "table_coverage"))).to_table().to_pylist()
    assert row["measured"] == 400 / 440 == manifest.figures["coverage_of_day"]
    assert (row["ads"], row["ads_outside"], row["bytes"]) == (4, 6, 4 * each)
    assert abs(row["predicted"] - 400 / 460) < 0.1
    assert 0 < manifest.figures["coverage_predicted"] < 1
    assert manifest.rows["ads_in_table"] == 4 and manifest.figures["outside_rows"] > 0
    assert "auc_outside" in manifest.figures and "auc_outside_exact" in manifest.figures
    picture = (address.parent / "coverage.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and json.loads((address.parent / "coverage.json").read_bytes())["ads"] == 4


def test_segments_are_put_together(world, monkeypatch):
    """Eleven catalogues, each with a new picture: few files, and nothing is computed again."""
    monkeypatch.setattr(vectors, "SEGMENTS", 3)
    model = world.model(DAY)
    for n in range(11):
        world.draw(f"{n:064x}", 20 * n)
        own = vectors.Vectors(model.parent, world.settings)
        pair = (f"{n:064x}", code("c1"))
        own.compute(np.array([vectors.key_of(pair)]), [pair])
    fresh = vectors.Vectors(model.parent, world.settings)
    assert len(list(fresh.folder.glob("*.table"))) <= 4
    found, known = fresh.of(np.array([vectors.key_of((f"{n:064x}", code("c1"))) for n in range(12)]))
    assert known.tolist() == [True] * 11 + [False]
    wanted = embed_pictures(model.parent, [(f"{n:064x}", code("c1")) for n in range(11)], world.settings)
    np.testing.assert_allclose(found[:11], wanted, atol=1e-6)


def test_a_catalogue_in_many_batches(world, monkeypatch):
    """Parts of three rows and one of two files give the same table as all at once."""
    for n in range(6):
        world.draw(f"{n:064x}", 40 * n)
    model = world.model(DAY)
    once = lookup_table.served_table(lookup_table.run(model, world.settings))
    ids = [f"ad-{n:03d}" for n in range(12)]
    wanted = once.of(ids)[0].copy()
    monkeypatch.setattr(catalogue, "ROWS_AT_ONCE", 3)
    real = catalogue.batches

    def small(*asked):
        return (batch.slice(at, 5) for batch in real(*asked) for at in range(0, len(batch), 5))

    for module in (catalogue, expectation, visual_delta):
        monkeypatch.setattr(module, "batches", small)
    other = world.model(DAY, seed=0, interval=("2026-01-09", DAY))  # another artifact of the same weights
    vectors_folder = world.settings.home_path / "pictures" / "vectors"
    shutil.rmtree(vectors_folder)
    address = lookup_table.run(other, world.settings)
    again = lookup_table.served_table(address)
    visual_delta.publish_delta(address, world.settings)
    np.testing.assert_allclose(again.of(ids)[0], wanted, atol=1e-5)
    rows = dataset(DeltaTable(paths.table(world.settings, "visual_table"))).to_table()
    assert rows.num_rows == 12 and sorted(rows.column("ad_id").to_pylist()) == ids
