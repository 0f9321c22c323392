"""The lookup table: what it holds, what it does not compute twice, what it says of itself."""

from __future__ import annotations

import numpy as np
from deltalake import DeltaTable
from PIL import Image

from contracts import artifacts, paths, report
from contracts.delta_dataset import dataset
from contracts.hashing import code
from release import lookup_table
from training.model import embed_pictures

DAY = "2026-01-20"


def draw(world, name: str, red: int) -> None:
    folder = paths.images(world.settings)
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (red, 90, 40)).save(folder / f"{name}.jpg")


def test_vectors_are_the_cnns(world):
    for n in range(6):
        draw(world, f"{n:064x}", 40 * n)
    model = world.model(DAY)
    address = lookup_table.run(model, world.settings)
    table = lookup_table.served_table(address)
    ids = [f"ad-{n:03d}" for n in range(12)]
    vectors, known = table.of([*ids, "stranger"])
    wanted = embed_pictures(
        model.parent, [(f"{n // 2:064x}", code(f"c{n // 2 % 3}")) for n in range(12)] + [(None, None)], world.settings
    )
    np.testing.assert_allclose(vectors, wanted, atol=1e-5)
    assert known.tolist() == [True] * 12 + [False]
    assert len(lookup_table.gate_table(address).codes) == 10


def test_equal_pairs_once_and_nothing_twice(world):
    for n in range(6):
        draw(world, f"{n:064x}", 40 * n)
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


def test_a_picture_that_lands_later_is_seen(world):
    model = world.model(DAY)
    first, _ = lookup_table.make(model, DAY, world.settings)
    grey = lookup_table.served_table(first).of(["ad-000"])[0].copy()
    draw(world, f"{0:064x}", 250)
    artifacts.fresh(first.parent)
    second, _ = lookup_table.make(model, DAY, world.settings)
    assert not np.allclose(lookup_table.served_table(second).of(["ad-000"])[0], grey)


def test_another_cnn_reuses_nothing(world):
    for n in range(6):
        draw(world, f"{n:064x}", 40 * n)
    one = lookup_table.run(world.model(DAY), world.settings)
    other = lookup_table.run(world.model(DAY, seed=9), world.settings)
    assert artifacts.read(other).rows["computed"] == artifacts.read(one).rows["computed"] == 7


def test_the_delta_table_and_a_second_run(world):
    model = world.model(DAY)
    address = lookup_table.run(model, world.settings)
    table = DeltaTable(paths.table(world.settings, "visual_table"))
    rows = dataset(table).to_table().sort_by("ad_id").to_pydict()
    assert rows["ad_id"] == [f"ad-{n:03d}" for n in range(12)]
    assert str(rows["event_timestamp"][0]) == "2026-01-21 00:00:00+00:00"
    vectors = lookup_table.served_table(address).of(rows["ad_id"])[0]
    np.testing.assert_array_equal(np.array(rows["vector"], np.float32), vectors)
    assert lookup_table.run(model, world.settings) == address
    assert DeltaTable(paths.table(world.settings, "visual_table")).version() == table.version()
