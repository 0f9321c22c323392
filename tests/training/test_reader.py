"""The reader: rule 4's interval, columns as they were written, row maps fitted on a stream."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pytest
from deltalake import DeltaTable

from contracts import paths
from contracts.delta_dataset import dataset
from contracts.errors import InputError, MissingArtifact
from contracts.features import BY_NAME, feature_set
from contracts.rows import fit_bins, fit_vocabulary
from contracts.settings import Settings
from training import reader, rows_fit

Made = Callable[..., Settings]


@pytest.fixture
def table(make: Made) -> DeltaTable:
    return reader.open_table(paths.table(make(days=4), "ad_groups"))


def test_interval_ends_before_the_day_and_spans_the_window(table: DeltaTable) -> None:
    days = ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"]
    assert reader.training_interval(table, date(2026, 1, 4), 32, 1) == days[:3]  # the 4th has groups, and is held out
    assert reader.training_interval(table, date(2026, 1, 4), 2, 1) == days[1:3]
    with pytest.raises(InputError, match="holds 3 of these days, at least 4"):
        reader.training_interval(table, date(2026, 1, 4), 32, 4)


def test_without_a_table_the_error_names_the_stage(tmp_path: object) -> None:
    with pytest.raises(MissingArtifact, match="run the stage `groups` first"):
        reader.open_table(f"{tmp_path}/nothing")


def test_columns_hold_what_the_table_holds(table: DeltaTable) -> None:
    day = "2026-01-02"
    (batch,) = reader.chunks(table, day)
    rows = dataset(table, [day]).to_table().to_pylist()
    flat = {i["impression_id"]: {**row, **i} for row in rows for i in row["impressions"]}
    assert len(flat) == len(batch) == 300
    for at, name in enumerate(batch.impression_id):
        row = flat[name]
        assert (batch.label[at], batch.user_id[at]) == (row["label"], row["user_id"])
        assert (batch.ad_id[at], batch.image[at]) == (row["ad_id"], row["image"])
        for feature, column in batch.codes.items():
            value, present = row[f"c_{feature}"], column.present[at]
            if isinstance(present, np.ndarray):
                assert list(column.codes[at][present]) == (value or [])
            else:
                assert (column.codes[at] if present else None) == value


def test_user_groups_have_the_same_flat_columns(make: Made) -> None:
    settings = make(days=1, users=True)
    by_id = []
    for name in ("ad_groups", "user_groups"):
        (part,) = reader.chunks(reader.open_table(paths.table(settings, name)), "2026-01-01")
        by_id.append(part.take(np.argsort(part.impression_id.astype(str))))
    one, other = by_id
    for name in ("label", "user_id", "impression_id", "ad_id", "image"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name, column in one.codes.items():
        np.testing.assert_array_equal(column.codes, other.codes[name].codes)
        np.testing.assert_array_equal(column.present, other.codes[name].present)


def test_fingerprint_is_of_the_days_files_only(make: Made) -> None:
    settings = make(days=2)
    address = paths.table(settings, "ad_groups")
    table = reader.open_table(address)
    one, both = reader.fingerprint(table, ["2026-01-01"]), reader.fingerprint(table, ["2026-01-01", "2026-01-02"])
    assert one != both
    table.delete("day = '2026-01-02'")
    later = reader.open_table(address)
    assert later.version() > 1 and reader.fingerprint(later, ["2026-01-01"]) == one


def test_streamed_rows_equal_those_fitted_at_once(table: DeltaTable) -> None:
    days = reader.days_with_groups(table)[:3]
    parts = [part for day in days for part in reader.chunks(table, day)]
    maps = rows_fit.fit(feature_set("daily"), iter(parts), limit=10_000, seed=1)
    for name in ("ad_id", "brand_id", "recent_categories"):
        codes = np.concatenate([p.codes[name].codes[p.codes[name].present] for p in parts])
        np.testing.assert_array_equal(maps[name].table, fit_vocabulary(BY_NAME[name], codes).table)
    prices = np.concatenate([p.codes["price"].codes for p in parts])
    np.testing.assert_array_equal(maps["price"].table, fit_bins(BY_NAME["price"], prices).table)


def test_the_sample_of_numbers_is_bounded_and_uniform() -> None:
    sample = rows_fit.Sample(limit=1_000, seed=1)
    for start in range(0, 20_000, 500):
        sample.add(np.arange(start, start + 500, dtype=np.float64))
    assert len(sample.numbers) == 1_000 and abs(sample.numbers.mean() - 10_000) < 600
