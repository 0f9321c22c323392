"""Batches made ready while the step before them runs: taken from their buffers, pictures loaded, memory pinned.

A thread reads on in the stream and hands each piece to a small pool; a bounded queue holds what is under way, in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from queue import Full, Queue
from threading import Event, Thread
from types import TracebackType
from typing import Generic, TypeVar

import torch

from training.batch import Batch
from training.pictures import Pictures
from training.shuffle import Piece

From = TypeVar("From")
Made = TypeVar("Made")
LOOK = 0.05  # seconds between looks whether the consumer has gone


class Prefetch(Iterator[Made], Generic[From, Made]):
    """`make` of everything that `stream` gives, in its order, at most `depth` ahead.

    What the stream or `make` raises is raised to the consumer, at its place. `waited`: seconds that the consumer did.
    Close it, or use it as a context, where it is not read to its end.
    """

    def __init__(self, stream: Iterator[From], make: Callable[[From], Made], depth: int, threads: int = 1):
        self.waited = 0.0
        self._queue: Queue[Future[Made] | None] = Queue(depth)
        self._closed = Event()
        self._pool = ThreadPoolExecutor(threads, "prefetch")
        self._thread = Thread(target=self._read, args=(stream, make), name="prefetch-reader", daemon=True)
        self._thread.start()

    def _read(self, stream: Iterator[From], make: Callable[[From], Made]) -> None:
        last: Future[Made] | None = None  # the end of the stream, or what broke it
        try:
            for one in stream:
                if not self._put(self._pool.submit(make, one)):
                    return
        except BaseException as error:
            last = Future()
            last.set_exception(error)
        finally:
            self._put(last)
            self._pool.shutdown(wait=False, cancel_futures=self._closed.is_set())
            close = getattr(stream, "close", None)  # of a generator: its workers end with it
            if close is not None:
                close()

    def _put(self, item: Future[Made] | None) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=LOOK)
                return True
            except Full:
                pass
        return False

    def __next__(self) -> Made:
        if self._closed.is_set():
            raise StopIteration
        started = time.monotonic()
        try:
            item = self._queue.get()
            if item is None:
                raise StopIteration
            return item.result()
        except BaseException:
            self.close()
            raise
        finally:
            self.waited += time.monotonic() - started

    def close(self) -> None:
        """Ends the thread and the pool; what was made ahead is dropped."""
        self._closed.set()
        self._thread.join()

    def __enter__(self) -> Prefetch[From, Made]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def ready(
    pieces: Iterator[Piece], pictures: Pictures | None, depth: int, threads: int, device: torch.device | None = None
) -> Prefetch[Piece, Batch]:
    """Batches as a step takes them. `pictures`: None for a model without a CNN. Memory is pinned for a CUDA device."""

    def make(piece: Piece) -> Batch:
        batch = piece.batch()
        if pictures is not None:
            batch = replace(batch, pictures_B3SS=pictures.load(batch.images))
        return batch.mapped(torch.Tensor.pin_memory) if device is not None and device.type == "cuda" else batch

    return Prefetch(pieces, make, depth, threads)
