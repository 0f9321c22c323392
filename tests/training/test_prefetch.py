"""Prefetch: the stream's order, bounded, errors at their place, ended with its consumer, its waiting measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import torch

from contracts import paths
from contracts.features import feature_set
from contracts.rows import fit_hash
from contracts.settings import Settings
from training import reader
from training.pictures import Pictures
from training.prefetch import Prefetch, ready
from training.recipes import tiny
from training.stream import Reader

Made = Callable[..., Settings]


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")}


def ended() -> bool:
    """Threads of a pool end a moment after it is shut down."""
    until = time.monotonic() + 10
    while threads() and time.monotonic() < until:
        time.sleep(0.01)
    return not threads()


def test_order_and_bound() -> None:
    begun: list[int] = []

    def slow_first(n: int) -> int:
        time.sleep(0.05 if n % 3 == 0 else 0)
        return n * n

    def stream() -> Iterator[int]:
        for n in range(12):
            begun.append(n)
            yield n

    with Prefetch(stream(), slow_first, depth=2, threads=3) as made:
        time.sleep(0.3)
        assert begun == [0, 1, 2]  # two in the queue, one at its door
        assert list(made) == [n * n for n in range(12)]
        assert list(made) == []  # the end stays the end
    assert ended()


@pytest.mark.parametrize("broken", ["stream", "make"])
def test_errors_come_at_their_place(broken: str) -> None:
    def fail(n: int) -> int:
        if n == 2:
            raise OSError(f"{broken} broke")
        return n

    stream, make = ((fail(n) for n in range(5)), int) if broken == "stream" else (iter(range(5)), fail)
    made = Prefetch(stream, make, depth=4)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(OSError, match=f"{broken} broke"):
        next(made)
    assert ended()


def test_closed_early_it_ends_and_closes_its_stream() -> None:
    closed = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    with Prefetch(endless(), int, depth=2, threads=2) as made:
        assert next(made) == 1 and threads()
    assert ended() and closed == [True]
    with pytest.raises(StopIteration):
        next(made)


def test_waiting_is_the_consumers() -> None:
    def late(n: int) -> int:
        time.sleep(0.1)
        return n

    with Prefetch(iter(range(3)), late, depth=1) as made:
        list(made)
        assert 0.2 < made.waited
    with Prefetch(iter(range(3)), int, depth=3) as made:
        time.sleep(0.2)
        for _ in made:
            time.sleep(0.1)  # the consumer's own work is no waiting
        assert made.waited < 0.15


def test_batches_come_with_their_pictures_and_as_the_stream_has_them(make: Made) -> None:
    settings = make(days=2, impressions=200)
    table = reader.open_table(paths.table(settings, "ad_groups"))
    maps = {feature.name: fit_hash(feature) for feature in feature_set("daily")}
    stream = Reader(table, reader.days_with_groups(table), tiny(), maps, 1)
    store = Pictures(settings, 16)
    with ready(stream.pieces(0), store, depth=2, threads=2) as batches:
        for got, wanted in zip(batches, stream.batches(0), strict=True):
            assert got.position == wanted.position and torch.equal(got.ad_of_N, wanted.ad_of_N)
            assert got.pictures_B3SS is not None and torch.equal(got.pictures_B3SS, store.load(wanted.images))
    with ready(stream.pieces(0), None, depth=2, threads=2) as batches:
        assert next(batches).pictures_B3SS is None
    assert ended()
