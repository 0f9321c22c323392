"""What maintenance counts back from: a named day must be published, the clock's need not be."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from contracts import paths
from contracts.errors import InputError, MissingArtifact
from contracts.keeping import counted_from, first_kept
from contracts.settings import Settings


def published(home: Path, *days: str) -> Settings:
    settings = Settings(home=home)
    rows = pa.table({"day": list(days), "impression_id": ["i"] * len(days)})
    write_deltalake(paths.table(settings, "impressions"), rows, partition_by=["day"])
    return settings


@pytest.mark.parametrize(
    "start, at_latest, day",
    [
        (None, None, "2026-02-13"),
        (None, "newest", "2026-02-13"),
        (None, "2026-02-14", "2026-02-13"),  # Saturday was refused, or is still being made: Friday
        (None, "2026-02-13", "2026-02-13"),
        (None, "2026-02-07", "2026-02-07"),  # a week that was made up for later keeps what was its own
        ("2026-02-13", None, "2026-02-13"),
        ("2026-02-12", None, "2026-02-12"),
    ],
)
def test_the_day(tmp_path, start, at_latest, day):
    settings = published(tmp_path, "2026-02-12", "2026-02-13")
    assert counted_from(settings, start, at_latest).isoformat() == day


def test_a_mistyped_day_deletes_nothing(tmp_path):
    with pytest.raises(InputError, match="2026-02-14 is after the last one, 2026-02-13"):
        counted_from(published(tmp_path, "2026-02-13"), "2026-02-14")
    with pytest.raises(InputError, match="YYYY-MM-DD"):
        counted_from(published(tmp_path / "other", "2026-02-13"), None, "13 Feb")


def test_nothing_published_is_said(tmp_path):
    with pytest.raises(MissingArtifact, match="no published day in .*impressions; run `adlens day` first"):
        counted_from(Settings(home=tmp_path), None, "2026-02-14")


def test_what_is_kept_by_default():
    """33 days + 3 of lateness + 7 folders of look-back + 7 to run again = 50, the last of them included."""
    assert first_kept(Settings(), date(2026, 2, 19)) == date(2026, 1, 1)
