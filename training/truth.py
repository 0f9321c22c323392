"""What generated clicks were drawn from: for comparisons and summaries; no model and no verdict sees it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.settings import Settings


def true_probabilities(
    settings: Settings, days: Sequence[str], impressions: Iterable[str]
) -> NDArray[np.float64] | None:
    """By impression id, NaN for one that the generator does not know; None for data that nobody generated."""
    files = [settings.landing_path / "truth" / f"day={day}" / "truth.parquet" for day in days]
    if not all(file.is_file() for file in files):
        return None
    tables = [pq.read_table(file, columns=["impression_id", "p"]) for file in files]
    known = {key: p for table in tables for key, p in zip(*(c.to_pylist() for c in table.columns), strict=True)}
    return np.array([known.get(key, np.nan) for key in impressions], np.float64)
