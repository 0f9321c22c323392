"""Reduction: what a basis keeps, what it was fitted on, what it costs and when it is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts import artifacts
from contracts.hashing import code
from release.lookup import lookup_table
from release.lookup.reduction import fitted
from release.lookup.vectors import Vectors, key_of
from serving.table import Codec

DAY = "2026-01-20"


class Given:
    """Vectors by key, as release.lookup.vectors.Vectors gives them."""

    def __init__(self, x: np.ndarray):
        self.x, self.dimension = x.astype(np.float32), x.shape[1]

    def of(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.x[keys], np.ones(len(keys), np.bool_)


def spread(codec: Codec, x: np.ndarray, weights: np.ndarray) -> float:
    """Weighted mean squared error of what is read back."""
    y = codec.read(codec.stored(x.astype(np.float32)))
    back = y if codec.basis is None else codec.centre + y @ codec.basis
    return float((weights[:, None] * np.square(back - x)).sum() / weights.sum())


def test_a_plane_needs_two_numbers() -> None:
    random = np.random.default_rng(1)
    plane = random.normal(size=(500, 2)) @ random.normal(size=(2, 8)) + random.normal(size=8)
    keys, weights = np.arange(500), random.integers(1, 9, 500).astype(float)
    two = fitted("fp32", 2, Given(plane), keys, weights)
    assert two.basis.shape == (2, 8) and spread(two, plane, weights) < 1e-10
    np.testing.assert_allclose(two.basis @ two.basis.T, np.eye(2), atol=1e-6)
    np.testing.assert_allclose(two.centre, np.average(plane, axis=0, weights=weights), atol=1e-5)
    assert spread(fitted("fp32", 1, Given(plane), keys, weights), plane, weights) > 0.1
    variance = np.square(plane - plane.mean(axis=0)).sum(axis=1).mean()
    assert spread(fitted("int8", 2, Given(plane), keys, weights), plane, weights) < 1e-3 * variance


def test_ads_count_by_their_impressions() -> None:
    """Half of the ads spread along one axis, half along the other; who is shown decides which axis is kept."""
    random = np.random.default_rng(2)
    x = np.zeros((200, 2))
    x[:100, 0], x[100:, 1] = random.normal(size=100), 3 * random.normal(size=100)
    for shown in (0, 1):
        weights = np.where(np.arange(200) // 100 == shown, 1000.0, 1e-3)
        basis = fitted("fp32", 1, Given(x), np.arange(200), weights).basis
        np.testing.assert_allclose(np.abs(basis[0]), np.eye(2)[shown], atol=1e-2)


@pytest.mark.parametrize(("storage", "dimensions"), [("fp32", None), ("fp16", None), ("fp16", 99)])
def test_nothing_is_fitted_where_nothing_is_reduced(storage, dimensions) -> None:
    codec = fitted(storage, dimensions, Given(np.ones((3, 4))), np.arange(3), np.ones(3))
    assert codec.basis is None and codec.storage == storage


def made(world, visual=None, **settings):
    """(manifest, artifact's address) of a table under other settings."""
    for n in range(6):
        world.draw(f"{n:064x}", 40 * n)
    world.settings = world.settings.model_copy(update=settings)
    address = lookup_table.run(world.model(DAY, visual=visual), world.settings)
    return artifacts.read(address), address


@pytest.mark.parametrize(("storage", "each"), [("fp16", 2), ("int8", 1)])
def test_the_gates_and_the_served_table_are_reduced_alike(world, storage, each) -> None:
    manifest, address = made(world, table_dimensions=3, table_storage=storage, table_max_auc_loss=1.0)
    gate, served = lookup_table.gate_table(address), lookup_table.served_table(address)
    for table in (gate, served):
        assert (table.dimension, table.codec.storage) == (3, storage)
        table.check()
    np.testing.assert_array_equal(gate.codec.basis, served.codec.basis)
    assert manifest.figures["bytes_an_ad"] == 8 + 3 * each
    assert manifest.figures["bytes_of_20_million"] == 20_000_000 * (8 + 3 * each)
    assert manifest.interval == ("2026-01-10", DAY)  # the gate's lineage sees what the basis was fitted on
    assert manifest.figures["auc_lost_low"] <= manifest.figures["auc_lost"] <= manifest.figures["auc_lost_high"]
    assert manifest.figures["paired_rows"] > 500


def test_what_costs_too_much_is_not_done(world) -> None:
    """The model reads from the picture which category is liked; along one axis the pictures lie in another order."""
    world.groups("2026-01-15", seed=5, taste=1.5)
    manifest, _ = made(world)
    keys = np.array([key_of((f"{n:064x}", code(f"c{n % 3}"))) for n in range(6)])
    x, known = Vectors(Path(manifest.inputs["model"]).parent, world.settings).of(keys)
    assert known.all()
    reads = np.linalg.lstsq(x.astype(np.float64), 1.5 * (np.arange(6) % 3 - 1), rcond=None)[0].astype(np.float32)
    manifest, address = made(world, reads, table_dimensions=1, table_storage="int8", table_max_auc_loss=0.01)
    assert manifest.figures["auc_lost"] > 0.02
    assert manifest.figures["storage"] == "fp32" and lookup_table.served_table(address).codec.exact
    assert lookup_table.gate_table(address).codec.exact
    assert manifest.figures["refused"] == "int8, 1 numbers"
    assert any("table_max_auc_loss" in said for said in lookup_table.sentences(manifest))


def test_what_cannot_be_measured_is_not_done(world) -> None:
    world.groups("2026-01-15", clicks=False)  # the only day of the window
    manifest, address = made(world)
    assert lookup_table.served_table(address).codec.exact and "refused" in manifest.figures
