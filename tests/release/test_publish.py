"""Publishing: the log is the truth, the pointer follows it, and a kill at any point is finished by running again."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from deltalake import DeltaTable

from contracts import artifacts, paths, report
from contracts.bundle import WEIGHTS
from contracts.delta_dataset import dataset
from contracts.errors import DamagedArtifact, InputError
from release.lookup import lookup_table
from release.lookup.refresh import refresh
from release.publishing import candidate, publications, publish
from release.publishing.rollback import rollback
from release.versions import registry
from serving.bundle import open_bundle, open_current, read_pointer
from serving.table import VisualTable, codes_of

ONE, TWO, THREE = "2026-01-19", "2026-01-20", "2026-01-21"


def release(world, day: str, kind: str, seed: int = 0):
    return world.release(day, kind, seed)


def decide(world, day: str, kind: str, seed: int = 0) -> Path:
    return world.decide(day, kind, seed)


def alias_manifest(world) -> str:
    return registry.version(world.settings, world.champion()).tags["manifest"]


def test_yes_no_rollback_and_what_served_when(days):
    world, settings = days, days.settings
    one = release(world, ONE, "dull")
    two = release(world, TWO, "sharp")
    assert [e.action for e in publications.read(settings)] == ["publish", "publish"]
    bundle, pointer = open_current(settings)
    assert (pointer.publication, pointer.bundle) == (2, two.bundle)
    assert len(bundle.table.codes) == 12  # of the catalogue at the end of the day, not of its start
    assert alias_manifest(world) == two.model

    kept = release(world, THREE, "random")
    assert kept.action == "keep" and kept.model == two.model and kept.bundle != two.bundle
    bundle, pointer = open_current(settings)
    assert pointer.publication == 3 and len(bundle.table.codes) == 14  # refreshed although the gate said no
    assert "NO" in report.read_all(settings, THREE)[-1].remarks[0]
    assert alias_manifest(world) == two.model

    back = rollback(settings, reason="a test")
    assert back.bundle == one.bundle and back.action == "rollback" and back.day == THREE
    assert open_current(settings)[1].bundle == one.bundle
    with pytest.raises(InputError, match="first model"):
        rollback(settings)
    assert rollback(settings, publication=2).bundle == two.bundle
    assert [e.publication for e in publications.read(settings)] == [1, 2, 3, 4, 5]
    assert publications.champion_of(publications.read(settings), THREE).bundle == two.bundle
    with pytest.raises(InputError, match="no publication 9"):
        rollback(settings, publication=9)


def test_again_publishes_nothing_new(days):
    settings = days.settings
    decision = decide(days, ONE, "sharp")
    first = publish.run(decision, settings)
    version = DeltaTable(publications.address(settings)).version()
    bundles = sorted(p.name for p in paths.bundles(settings).iterdir())
    assert publish.run(decision, settings) == first
    assert DeltaTable(publications.address(settings)).version() == version
    assert sorted(p.name for p in paths.bundles(settings).iterdir()) == bundles


def test_an_older_day_evaluates_and_publishes_nothing(days):
    settings = days.settings
    release(days, TWO, "dull")
    before = read_pointer(settings)
    assert release(days, ONE, "sharp") is None
    assert read_pointer(settings) == before
    assert "publishes nothing" in report.read_all(settings, ONE)[-1].remarks[0]


def test_analysts_see_only_what_served(days):
    """The challenger's own vectors are of a model that the gate refused."""
    settings = days.settings
    visual = paths.table(settings, "visual_table")
    assert release(days, ONE, "random") is None and not DeltaTable.is_deltatable(visual)
    release(days, ONE, "dull", seed=1)
    kept = release(days, TWO, "random", seed=2)
    rows = dataset(DeltaTable(visual), [TWO]).to_table()
    table = Path(kept.table).parent
    assert set(rows.column("table_version").to_pylist()) == {f"{TWO}/{table.name}"} and rows.num_rows == 12
    found = dict(zip(rows.column("ad_id").to_pylist(), rows.column("vector").to_pylist(), strict=True))
    served, known = open_current(settings)[0].table.of(list(found))
    assert known.all()
    np.testing.assert_array_equal(np.array(list(found.values()), np.float32), served)


def test_no_without_a_champion_serves_nothing(days):
    assert release(days, ONE, "random") is None
    assert read_pointer(days.settings) is None
    assert publications.read(days.settings) == []


def test_refused_on_a_day_that_has_published_leaves_what_is_served(days):
    settings = days.settings
    release(days, ONE, "dull")
    two = release(days, TWO, "sharp")
    kept = release(days, TWO, "random")
    assert kept.action == "keep" and kept.bundle == two.bundle
    assert open_current(settings)[1].bundle == two.bundle


class Killed(BaseException):
    """Not an Exception: nothing may catch it."""


def test_the_pointer_is_the_old_one_or_the_new_one(days, monkeypatch):
    release(days, ONE, "dull")
    old = read_pointer(days.settings)
    decision = decide(days, TWO, "sharp")
    real = os.replace

    def die(source, target):
        if Path(target) == paths.pointer(days.settings):
            raise Killed
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(artifacts.os, "replace", die)
        with pytest.raises(Killed):
            publish.run(decision, days.settings)
    assert read_pointer(days.settings) == old
    assert publish.run(decision, days.settings).publication == 2
    assert read_pointer(days.settings).publication == 2


def test_tampered_bundles_are_refused(days):
    settings = days.settings
    release(days, ONE, "dull")
    two = release(days, TWO, "sharp")
    folder = paths.bundles(settings) / two.bundle
    info = (folder / "bundle.json").read_text()
    (folder / "bundle.json").write_text(info.replace('"recipe": "tiny"', '"recipe": "tinier"'))
    with pytest.raises(DamagedArtifact, match="not the name"):
        open_bundle(folder)
    (folder / "bundle.json").write_text(info)
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(bytes(data))
    with pytest.raises(DamagedArtifact, match="checksum"):
        open_current(settings)
    rollback(settings)
    with pytest.raises(DamagedArtifact):  # one cannot go back to what is broken
        rollback(settings, publication=2)
    assert open_current(settings)[1].publication == 3


def test_a_table_with_two_vectors_exchanged_is_not_served(days, monkeypatch):
    """Checksums and all: of a challenger the gate's look-ups tell, of a kept model those of the bundle in service."""
    settings, real = days.settings, lookup_table.served_table
    for n in range(7):
        days.draw(f"{n:064x}", 30 * n)

    def exchanged(address: Path) -> VisualTable:
        table = real(address)
        rows = np.searchsorted(table.codes, codes_of(["ad-000", "ad-002"]))
        vectors = np.array(table.vectors)
        vectors[rows] = vectors[rows[::-1]]
        return replace(table, vectors=vectors, path=None)

    def refused(act) -> None:
        before = read_pointer(settings)
        with monkeypatch.context() as patch:
            patch.setattr(lookup_table, "served_table", exchanged)
            with pytest.raises(DamagedArtifact, match="2 of .* ads looked up another vector"):
                act()
        assert read_pointer(settings) == before

    yes = decide(days, ONE, "dull")
    refused(lambda: publish.run(yes, settings))
    assert publish.run(yes, settings).action == "publish"
    no = decide(days, TWO, "random")
    refused(lambda: publish.run(no, settings))
    assert publish.run(no, settings).action == "keep"
    refused(lambda: refresh(settings))
    assert refresh(settings)[0].action == "refresh"


def test_a_bundle_that_scores_otherwise_is_not_published(days):
    """The candidate is changed between gate and publication, checksums and all: the fresh process finds out."""
    decision = decide(days, ONE, "sharp")
    other = days.model(ONE, "dull", ("2026-01-09", ONE), seed=4)
    table = Path(days.decision(decision)["table"])
    folder = decision.parent / "candidate"
    artifacts.fresh(folder)
    candidate.write_candidate(folder, ONE, other, str(table), lookup_table.gate_table(table), "UTC")
    manifest = artifacts.read(decision, check_files=False)
    artifacts.finish(decision.parent, manifest)
    with pytest.raises(DamagedArtifact, match="fresh process"):
        publish.run(decision, days.settings)
    assert read_pointer(days.settings) is None
