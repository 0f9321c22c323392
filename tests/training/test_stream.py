"""The stream: every impression once, in an order that only table and seed decide; shards, workers, resuming."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from deltalake import DeltaTable

from contracts import paths
from contracts.batch import rows_of
from contracts.errors import InputError, MissingArtifact
from contracts.features import feature_set
from contracts.rows import RowMap
from contracts.settings import Settings
from training import reader, rows_fit
from training.batch import Batch, Position, block_of
from training.plan import RowGroup, plan, share, source
from training.recipes import Recipe, tiny
from training.stream import TABLES, Reader

Made = Callable[..., Settings]
FEATURES = feature_set("daily")
SMALL = {"buffer_impressions": 400, "impressions_per_picture": 5, "unknown_ad_share": 0.3}


def a_recipe(**changed: object) -> Recipe:
    return tiny().model_copy(update={**SMALL, **changed})


def fitted(table: DeltaTable) -> dict[str, RowMap]:
    days = reader.days_with_groups(table)
    return rows_fit.fit(FEATURES, (part for day in days for part in reader.chunks(table, day)), 10_000, 1)


@pytest.fixture
def settings(make: Made) -> Settings:
    return make(days=4, row_group=17, users=True)


FITTED: dict[Path, dict[str, RowMap]] = {}  # by home: fitted once a test


def opened(settings: Settings, recipe: Recipe, **ranks: int) -> Reader:
    if settings.home not in FITTED:
        FITTED[settings.home] = fitted(reader.open_table(paths.table(settings, "ad_groups")))
    maps = FITTED[settings.home]
    table = reader.open_table(paths.table(settings, TABLES[recipe.grouping]))
    return Reader(table, reader.days_with_groups(table), recipe, maps, 1, **ranks)


def rows(batch: Batch) -> list[tuple[object, ...]]:
    """Each impression with all of its rows, its picture and its label, whatever shares them."""
    flat = {**batch.context}
    for block, of_N in batch.shared:
        flat |= {name: values[of_N] for name, values in block.items()}
    columns = [flat[feature.name].tolist() for feature in FEATURES]
    images = [batch.images[at] for at in batch.picture_of_N.tolist()]
    categories = batch.category_B[batch.picture_of_N].tolist()
    listed = [[tuple(v) if isinstance(v, list) else v for v in column] for column in columns]
    return list(zip(*listed, images, categories, batch.label_N.tolist(), strict=True))


def counted(batches: Iterable[Batch]) -> Counter[tuple[object, ...]]:
    return Counter(row for batch in batches for row in rows(batch))


def same(left: Iterator[Batch], right: Iterator[Batch]) -> bool:
    """Bit by bit."""
    for one, other in zip(left, right, strict=True):
        for name, value in vars(one).items():
            theirs = vars(other)[name]
            if isinstance(value, torch.Tensor):
                if not torch.equal(value, theirs):
                    return False
            elif isinstance(value, dict):
                if value.keys() != theirs.keys() or not all(torch.equal(value[k], theirs[k]) for k in value):
                    return False
            elif value != theirs:
                return False
    return True


@pytest.mark.parametrize("grouping", ["ad", "user", "none"])
def test_an_epoch_is_every_impression_once(settings: Settings, grouping: str) -> None:
    """Against the flat columns, mapped by the predictor's own function."""
    recipe = a_recipe(grouping=grouping, unknown_ad_share=0.0)
    stream, table = opened(settings, recipe), reader.open_table(paths.table(settings, "ad_groups"))
    wanted: Counter[tuple[object, ...]] = Counter()
    for part in (part for day in stream.days for part in reader.chunks(table, day)):
        found = rows_of(FEATURES, stream.maps, part.codes)
        columns = [[tuple(v) if isinstance(v, list) else v for v in found[f.name].tolist()] for f in FEATURES]
        wanted.update(zip(*columns, part.image, found["category_id"].tolist(), part.label.tolist(), strict=True))
    batches = list(stream.batches(0))
    assert counted(batches) == wanted and stream.impressions == 1_200 == sum(map(len, batches))
    assert stream.days == ("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04")


def test_the_order_is_the_seeds_and_the_epochs(settings: Settings) -> None:
    stream, again, other = (opened(settings, a_recipe()) for _ in range(3))
    other.seed = 2
    assert same(stream.batches(0), again.batches(0))
    first = [rows(batch) for batch in stream.batches(0)]
    assert first != [rows(batch) for batch in stream.batches(1)]
    assert first != [rows(batch) for batch in other.batches(0)]


def test_groupings_take_equally_many_steps_and_share_what_repeats(settings: Settings) -> None:
    found = {name: list(opened(settings, a_recipe(grouping=name)).batches(0)) for name in ("ad", "user", "none")}
    for name in ("ad", "user"):
        for batch in found[name]:
            pairs = list(zip(batch.images, batch.category_B.tolist(), strict=True))
            assert len(set(pairs)) == len(pairs)
            for block, length in ((batch.ads, len(batch.picture_of_A)), (batch.users, len(batch.user_of_N.unique()))):
                keys = [tuple(np.ravel(values[at]).tolist()) for values in block.values() for at in range(length)]
                table = list(zip(*np.array_split(np.array(keys, object), len(block)), strict=True))
                assert len(table) == length
    assert all(len(batch.images) == len(batch) for batch in found["none"])
    assert sum(len(b.images) for b in found["ad"]) < sum(len(b.images) for b in found["none"]) / 3
    assert abs(len(found["none"]) - len(found["ad"])) <= 1  # by the parts of ads that meet in a buffer


def test_a_batch_is_bounded_and_none_is_tiny(settings: Settings) -> None:
    sizes = [len(batch) for batch in opened(settings, a_recipe()).batches(0)]
    assert max(sizes) <= (8 + 1) * 5 and min(sizes) > 8


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_have_everything_once(settings: Settings, world: int) -> None:
    everything = counted(opened(settings, a_recipe(unknown_ad_share=0.0)).batches(0))
    ranks = [opened(settings, a_recipe(unknown_ad_share=0.0), rank=rank, world=world) for rank in range(world)]
    parts = [counted(rank.batches(0)) for rank in ranks]
    assert sum(parts, Counter()) == everything
    for rank, part in zip(ranks, parts, strict=True):
        assert abs(rank.share_impressions(0) - part.total()) <= 17 * 25 and part.total() > 1_200 / world / 2


@pytest.mark.parametrize("ranks", [{}, {"rank": 1, "world": 2}])
@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_anywhere_it_goes_on_as_if_undisturbed(settings: Settings, workers: int, ranks: dict[str, int]) -> None:
    whole = list(opened(settings, a_recipe(), **ranks).batches(1))
    stream = opened(settings, a_recipe(loader_workers=workers), **ranks)
    assert same(iter(whole), stream.batches(1))
    last = len(whole) - 1
    for cut in (last // 3, last - 1) if workers else (0, 1, last // 2, last - 1, last):
        at = whole[cut].position
        assert at is not None and same(iter(whole[cut + 1 :]), stream.batches(1, at.after()))
    with pytest.raises(ValueError, match="cannot go on"):
        next(stream.batches(0, Position(1, 0, 0)))


def test_resuming_reads_nothing_before_the_buffer(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.buffers import Buffers

    made: list[int] = []
    real = Buffers.__getitem__
    monkeypatch.setattr(Buffers, "__getitem__", lambda self, number: made.append(number) or real(self, number))
    list(opened(settings, a_recipe()).batches(0, Position(0, 2, 1)))
    assert made == list(range(2, max(made) + 1)) and len(made) >= 1


def test_a_commit_in_the_middle_of_an_epoch_changes_nothing(settings: Settings) -> None:
    whole = list(opened(settings, a_recipe()).batches(0))
    stream = opened(settings, a_recipe())
    batches = stream.batches(0)
    begun = [next(batches)]
    DeltaTable(paths.table(settings, "ad_groups")).delete("day = '2026-01-02'")
    assert same(iter(whole), iter([*begun, *batches])) and stream.version == 3


def test_days_that_cannot_be_read_are_named(settings: Settings) -> None:
    address = paths.table(settings, "ad_groups")
    table = reader.open_table(address)
    with pytest.raises(InputError, match="version 3 holds no groups of 2026-02-01"):
        source(table, ["2026-01-01", "2026-02-01"])
    with pytest.raises(InputError, match="no day at all"):
        source(table, [])
    stream = opened(settings, a_recipe())
    (file,) = (Path(address) / "day=2026-01-03").glob("*.parquet")
    file.unlink()  # vacuumed after the stream was opened, and before
    with pytest.raises(MissingArtifact, match="has lost day=2026-01-03.*vacuum_hours"):
        list(stream.batches(0))
    stream.recipe = a_recipe(loader_workers=1)
    with pytest.raises(MissingArtifact, match="has lost day=2026-01-03"):
        list(stream.batches(0))
    with pytest.raises(MissingArtifact, match="has lost day=2026-01-03"):
        source(reader.open_table(address), ["2026-01-03"])


def a_table(days: int, files: int, rows: int, impressions: int) -> list[RowGroup]:
    return [RowGroup(f"{day}", f"{day}/{n}", 0, rows, impressions) for day in range(days) for n in range(files)]


@pytest.mark.parametrize(
    "row_groups, buffer, buffers",
    [
        (a_table(7, 1, 60, 1_500), 4_000, 3),  # a default home
        (a_table(32, 1, 800, 20_000), 100_000, 8),  # eight days in each buffer rather than five
        (a_table(32, 300, 12, 300), 100_000, 28),  # many small files
        (a_table(32, 1, 40_000, 1_000_000), 100_000, 292),  # row groups much larger than a buffer
    ],
)
def test_a_plan_has_all_once_mixed_and_in_buffers_of_about_the_size(
    row_groups: list[RowGroup], buffer: int, buffers: int
) -> None:
    planned = plan(row_groups, buffer, seed=1, epoch=0)
    assert planned == plan(row_groups, buffer, 1, 0) != plan(row_groups, buffer, 1, 1)
    assert len(planned) == buffers
    read: dict[RowGroup, list[range]] = {}
    for parts in planned:
        held = sum((part.stop - part.start) * part.of.impressions / part.of.rows for part in parts)
        assert buffer * 0.6 < held <= buffer * 1.25
        assert len({part.of.day for part in parts}) >= 5 or len(row_groups) < 8
        for part in parts:
            read.setdefault(part.of, []).append(range(part.start, part.stop))
    for row_group in row_groups:
        assert sorted(n for part in read[row_group] for n in part) == list(range(row_group.rows))


@pytest.mark.parametrize("world", [1, 2, 5, 7])
def test_every_rank_has_buffers(world: int) -> None:
    planned = plan(a_table(7, 1, 60, 1_500), 100_000, 1, 0, world)
    shares = [share(len(planned), rank, world) for rank in range(world)]
    assert [n for one in shares for n in one] == list(range(len(planned)))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1 and min(map(len, shares)) >= 1
    with pytest.raises(InputError, match="3 buffers for 4 processes"):
        share(3, 0, 4)


def test_memory_does_not_grow_with_the_table(make: Made) -> None:
    """Ten times the days of equal size: as much is held, of what Python and numpy hold. Looked at after the garbage of
    closed files is collected: how much of it lies about at a moment says nothing."""
    held = []
    settings = make(days=40, impressions=200, fresh=0, row_group=20)
    table = reader.open_table(paths.table(settings, "ad_groups"))
    maps = fitted(table)
    for days in (4, 40):
        stream = Reader(table, reader.days_with_groups(table)[:days], a_recipe(), maps, 1)
        gc.collect()
        tracemalloc.start()
        seen, most = 0, 0
        for number, batch in enumerate(stream.batches(0)):
            seen += len(batch)
            if number % 5 == 0:
                gc.collect()
                most = max(most, tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        held.append(most)
        assert seen == days * 200
    assert held[1] - held[0] < 36 * 200 * 16  # an impression is hundreds of bytes; what grows is the list of row groups


def test_hiding_an_ad_hides_its_id_only_and_at_the_given_share(settings: Settings) -> None:
    plainly, hidden = (list(opened(settings, a_recipe(unknown_ad_share=s)).batches(0)) for s in (0.0, 0.3))
    at = [feature.name for feature in FEATURES].index("ad_id")

    def without_ad(batches: list[Batch]) -> Counter[tuple[object, ...]]:
        return Counter((*row[:at], *row[at + 1 :]) for batch in batches for row in rows(batch))

    assert without_ad(hidden) == without_ad(plainly)
    before, after = (sum(row[at] == 1 for b in batches for row in rows(b)) / 1_200 for batches in (plainly, hidden))
    assert 0.25 < (after - before) / (1 - before) < 0.35


def test_features_are_held_with_their_side(settings: Settings) -> None:
    held = {feature.name: block_of(feature) for feature in feature_set("production")}
    assert held["brand_id"] == "ads" and held["gender"] == "users" and held["hour"] == "context"
    assert held["gender_x_category"] == "context" and held["match_words"] == "context"
    assert {"ads", "users", "context"} == set(held.values())
