"""New ads get vectors from the model in service, without a new model and without disturbing the day's release."""

from __future__ import annotations

from pathlib import Path

from deltalake import DeltaTable

from contracts import artifacts, paths
from contracts.delta_dataset import dataset
from release.judging import gate
from release.lookup import lookup_table
from release.lookup.refresh import refresh
from release.publishing import publications, publish
from release.publishing.rollback import rollback
from serving.bundle import open_current

DAY, NEXT = "2026-01-20", "2026-01-21"


def release(world, day: str, kind: str, seed: int = 0):
    table = lookup_table.run(world.model(day, kind, ("2026-01-10", day), seed=seed), world.settings)
    return publish.run(gate.run(table, world.settings), world.settings)


def test_refresh_by_the_hour(world):
    settings = world.settings.model_copy(update={"table_dimensions": 4, "table_max_auc_loss": 1.0})
    world.settings = settings
    assert refresh(settings) == (None, False)
    for n in range(6):
        world.draw(f"{n:064x}", 40 * n)
    first = release(world, DAY, "sharp")
    assert refresh(settings) == (first, False), "the newest catalogue is served already"

    world.catalogue(NEXT, 16)
    entry, new = refresh(settings)
    assert new and (entry.action, entry.day, entry.model) == ("refresh", NEXT, first.model)
    bundle, pointer = open_current(settings)
    assert pointer.publication == 2 and bundle.info.model == first.model and bundle.info.table == entry.table
    assert bundle.table.of(["ad-015"])[1].all()
    made = artifacts.read(entry.table)
    assert made.rows["computed"] == 2  # the two new pairs; their pictures' files have not landed
    assert (bundle.table.codec.basis == lookup_table.served_table(Path(first.table)).codec.basis).all()
    delta = dataset(DeltaTable(paths.table(settings, "visual_table")), [NEXT]).to_table()
    assert delta.num_rows == 16
    assert refresh(settings) == (entry, False)

    grey = bundle.table.of(["ad-014"])[0].copy()
    world.draw(f"{7:064x}", 250)  # the picture of ads 14 and 15
    landed, new = refresh(settings)
    assert new and artifacts.read(landed.table).rows["computed"] >= 1
    assert abs(open_current(settings)[0].table.of(["ad-014"])[0] - grey).max() > 0
    assert refresh(settings) == (landed, False)

    # The release of that day still starts from what was in service when the day began, and is not held up.
    assert publications.champion_of(publications.read(settings), NEXT).publication == first.publication
    world.groups(NEXT, seed=8)
    world.settings = settings
    decided = release(world, NEXT, "random", seed=3)
    assert decided.model == first.model and decided.action == "keep"
    assert refresh(settings, DAY) == (decided, False), "never back to an older catalogue"


def test_a_release_after_the_refresh_of_a_later_day(world):
    settings = world.settings
    release(world, DAY, "dull")
    world.catalogue(NEXT, 16)
    world.catalogue("2026-01-22", 18)
    world.groups(NEXT, seed=8)
    assert refresh(settings)[0].day == "2026-01-22"
    decided = release(world, NEXT, "sharp", seed=2)
    assert decided is not None and decided.action == "publish"


def test_a_rollback_after_a_refresh_is_what_the_next_gate_starts_from(world):
    settings = world.settings
    world.catalogue("2026-01-18", 10)
    world.groups("2026-01-19", seed=7)
    first = release(world, "2026-01-19", "dull")
    release(world, DAY, "sharp")
    world.catalogue(NEXT, 16)
    refresh(settings)
    rollback(settings, reason="a test")
    champion = publications.champion_of(publications.read(settings), NEXT)
    assert champion.model == first.model
