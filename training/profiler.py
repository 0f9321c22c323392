"""`--profile FILE`: a few steps' trace for chrome://tracing or Perfetto."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.profiler import profile, schedule

SKIPPED, WARM, TRACED = 5, 2, 5  # steps


@contextmanager
def traced(file: Path | None) -> Iterator[Callable[[], None]]:
    """Gives what is to be called after each step; does nothing without a file."""
    if file is None:
        yield lambda: None
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with profile(
        schedule=schedule(wait=SKIPPED, warmup=WARM, active=TRACED, repeat=1),
        on_trace_ready=lambda found: found.export_chrome_trace(str(file)),
        record_shapes=True,
    ) as found:
        yield found.step
