"""Who builds on a day asks whether an audit has stopped it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from contracts import paths, verdicts
from contracts.errors import MissingArtifact, QualityStop
from contracts.settings import Settings

SNAPSHOTS = verdicts.SNAPSHOT_FIGURES


def test_a_stop_a_warning_and_a_day_without_figures(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    verdicts.refuse_unjudged(settings, SNAPSHOTS, ["2026-01-01"])  # a home that no audit has ever seen
    days = ["2026-01-01", "2026-01-02", "2026-01-02"]
    figures = {
        "day": days,
        "table": ["ad_features"] * 3,
        "figure": ["drift_price", "ad_rows", "drift_price"],
        "value": [3.0, 12.0, None],
        "lower": [None, 50.5, None],
        "upper": [0.25, None, 0.25],
        "verdict": ["warn", "stop", "pass"],
    }
    write_deltalake(paths.table(settings, SNAPSHOTS), pa.table(figures), partition_by=["day"])
    verdicts.refuse(settings, SNAPSHOTS, ["2026-01-01", "2026-01-03"])
    with pytest.raises(MissingArtifact, match="no figures of 2026-01-03.*adlens features --start 2026-01-03"):
        verdicts.refuse_unjudged(settings, SNAPSHOTS, ["2026-01-01", "2026-01-03"])
    with pytest.raises(QualityStop) as stop:
        verdicts.refuse(settings, SNAPSHOTS, days)
    for said in ("stopped ad_features of 2026-01-02", "ad_rows 12 (from 50.5)", "suites/ad_features.yaml"):
        assert said in str(stop.value)
    assert "adlens features --start 2026-01-02" in str(stop.value) and "drift" not in str(stop.value)
