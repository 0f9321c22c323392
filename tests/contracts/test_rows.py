import numpy as np
import pytest

from contracts.batch import CodeColumn, rows_of
from contracts.features import BY_NAME, Feature
from contracts.rows import PADDING, UNKNOWN, RowMap, cross_codes, fit_bins, fit_hash, fit_vocabulary


def _categorical(min_count: int = 1, size: int = 10) -> Feature:
    return Feature("f", "Ad", "ad", "categorical", "vocabulary", size, "test", min_count=min_count)


def test_vocabulary_keeps_frequent_codes_and_sends_the_rest_to_unknown() -> None:
    row_map = fit_vocabulary(_categorical(min_count=2), np.array([7, 7, -3, -3, 5]))
    rows = row_map.of_codes(np.array([-3, 7, 5, 99, 7]), np.array([True, True, True, True, False]))
    assert rows.tolist() == [2, 3, UNKNOWN, UNKNOWN, UNKNOWN]
    assert row_map.rows == 4


def test_vocabulary_is_cut_at_its_size_by_frequency() -> None:
    row_map = fit_vocabulary(_categorical(size=3), np.array([1, 2, 2, 3]))
    assert row_map.table.tolist() == [2]


def test_empty_vocabulary_knows_nothing() -> None:
    row_map = fit_vocabulary(_categorical(), np.empty(0, np.int64))
    assert row_map.of_codes(np.array([0]), np.array([True])).tolist() == [UNKNOWN]


def test_bins_by_quantile_with_missing() -> None:
    feature = Feature("price", "Ad", "ad", "numeric", "bins", 6, "test")
    row_map = fit_bins(feature, np.array([1.0, 2.0, 3.0, 4.0, np.nan]))
    rows = row_map.of_numbers(np.array([0.0, 1.8, 2.6, 9.0, np.nan]))
    assert row_map.table.tolist() == [1.75, 2.5, 3.25]
    assert rows.tolist() == [2, 3, 4, 5, UNKNOWN]
    assert rows.max() < row_map.rows


def test_bins_without_a_number() -> None:
    row_map = fit_bins(Feature("price", "Ad", "ad", "numeric", "bins", 6, "test"), np.array([np.nan]))
    assert row_map.of_numbers(np.array([1.0, np.nan])).tolist() == [2, UNKNOWN]


def test_hash_stays_clear_of_the_reserved_rows() -> None:
    row_map = fit_hash(Feature("f", "Text", "ad", "multi_hot", "hash", 16, "test"))
    codes = np.array([-(2**63), -1, 0, 2**63 - 1])
    rows = row_map.of_codes(codes, np.ones(4, bool))
    assert rows.min() >= 2 and rows.max() < 16


def test_a_cross_depends_on_the_order_of_its_sides() -> None:
    left, right = np.array([1, 2]), np.array([2, 1])
    crossed = cross_codes(left, right)
    assert crossed[0] != crossed[1]
    assert crossed.dtype == np.int64


@pytest.mark.parametrize("missing", ["gender", "category_id"])
def test_rows_of_crosses_lists_and_missing_sides(missing: str) -> None:
    names = ("gender", "category_id", "gender_x_category", "title_words")
    features = [BY_NAME[name] for name in names]
    maps = {f.name: RowMap(f.name, "hash", f.size, np.empty(0, np.int64)) for f in features}
    columns = {
        "gender": CodeColumn.categorical([1, None if missing == "gender" else 1]),
        "category_id": CodeColumn.categorical([2, None if missing == "category_id" else 2]),
        "title_words": CodeColumn.lists([[5, 6], None], limit=3),
    }
    rows = rows_of(features, maps, columns)
    assert rows["gender_x_category"][0] > UNKNOWN and rows["gender_x_category"][1] == UNKNOWN
    assert rows["title_words"].shape == (2, 3)
    assert rows["title_words"][0, 2] == PADDING and rows["title_words"][1].tolist() == [PADDING] * 3
