"""A frame that is cached for as long as a job needs it."""

from __future__ import annotations

from contextlib import ExitStack

from pyspark.sql import DataFrame


def cached(frame: DataFrame, until: ExitStack) -> DataFrame:
    """The frame, cached by whoever computes it first, and forgotten when `until` is left, by an error too."""
    until.callback(frame.unpersist)
    return frame.persist()
