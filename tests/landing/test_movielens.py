"""The MovieLens adapter: on three hand-made ratings everywhere, on the real data where they are."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contracts import settings
from contracts.errors import InputError
from contracts.settings import read_landing_yaml
from landing import movielens
from landing.check import run as check

REAL = settings.load().real_data or movielens.DEFAULT


@pytest.fixture
def source(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    (data / "images" / "1.jpg").write_bytes(b"poster")
    ratings = "7,1,4,1,864000\n7,2,3,0,864001\n8,1,5,1,1036800\n"  # 1970-01-11 00:00:00, :01 and 1970-01-13
    (data / "interactions.csv").write_text("user_id,item_id,rating,label,timestamp\n" + ratings)
    films = "1,Drama,Drama|War,Long Film,1994,9,images/1.jpg\n2,,,Odd,unkonwn,8,\n"
    (data / "items.csv").write_text("item_id,category,genres,title,year,imdb_id,image_path\n" + films)
    (data / "users.csv").write_text("user_id,age,gender,occupation,zip_code\n7,24,M,artist,1\n8,70,F,doctor,2\n")
    return data


def test_ratings_become_impressions_and_clicks(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    movielens.convert(source, out)
    assert sorted(f.name for f in out.glob("day=*")) == ["day=1970-01-11", "day=1970-01-12", "day=1970-01-13"]
    first = {name: pq.read_table(out / "day=1970-01-11" / f"{name}.parquet").to_pylist() for name in
             ("impressions", "clicks", "behaviours", "ads", "users")}  # fmt: skip
    assert [row["impression_id"] for row in first["impressions"]] == ["r-7-1", "r-7-2"]
    assert [row["impression_id"] for row in first["clicks"]] == ["r-7-1"]
    assert {row["kind"] for row in first["behaviours"]} == {"view"} and len(first["behaviours"]) == 2
    poster = hashlib.sha256(b"poster").hexdigest()
    assert first["ads"] == [
        {"ad_id": "film-1", "category_id": "Drama", "brand_id": "1990s", "shop_id": None, "price": None,
         "title": "Long Film", "reviews": 1, "image": poster},
        {"ad_id": "film-2", "category_id": None, "brand_id": None, "shop_id": None, "price": None,
         "title": "Odd", "reviews": 1, "image": None},
    ]  # fmt: skip
    assert [(row["age_band"], row["region"]) for row in first["users"]] == [("18-24", "artist"), ("65+", "doctor")]
    last = pq.read_table(out / "day=1970-01-13" / "ads.parquet").to_pylist()
    assert [row["reviews"] for row in last] == [2, 1]
    assert pq.read_table(out / "day=1970-01-12" / "impressions.parquet").num_rows == 0
    assert (out / "images" / f"{poster}.jpg").read_bytes() == b"poster"
    assert read_landing_yaml(out)["min_rows"] == 0


def test_foreign_folders_and_missing_data_are_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "day=2026-01-01").mkdir(parents=True)
    with pytest.raises(InputError, match="holds other landing data"):
        movielens.convert(source, tmp_path / "out")
    (source / "users.csv").unlink()
    with pytest.raises(InputError, match=r"missing users\.csv\).*ADLENS_REAL_DATA"):
        movielens.convert(source, tmp_path / "new")


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data are not on this machine; set ADLENS_REAL_DATA")
def test_real_data_and_the_day_that_the_document_names(tmp_path: Path) -> None:
    ratings = movielens.convert(REAL, tmp_path)
    assert len(ratings) == 100_000
    assert movielens.day_to_run(ratings) == date(1997, 11, 13)
    said: list[str] = []
    assert check(tmp_path, "1997-11-13", said.append) == 0
    assert "3,550 impressions, 2,034 clicks" in said[0]
    assert not any("set aside" in line for line in said)
