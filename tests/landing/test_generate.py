"""The generator: independent days, honest shares, young ads, faults in bounds, controls."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from contracts.days import Days
from contracts.errors import InputError
from landing import __main__ as command
from landing.digest import TINY
from landing.generate import Maker, generate, tables_of
from landing.pictures import LEVELS, Look, draw
from landing.shares import LOGIT_VARIANCE, LOOKS, SHARES
from landing.traffic import Traffic
from landing.world import Looks, Sizes, make_world

FIRST = date(2026, 1, 1)


def days(first: int, end: int) -> Days:
    return Days(FIRST + timedelta(days=first), FIRST + timedelta(days=end))


def contents(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def ranged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ranged")
    generate(out, days(0, 5), TINY, seed=7)
    return out


@pytest.fixture(scope="module")
def week() -> list[Traffic]:
    """A week of the default sizes."""
    maker = Maker(make_world(1, Sizes(), "category"))
    return [maker.day(FIRST.toordinal() + n)[0] for n in range(7)]


@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_day_alone_equals_the_day_in_a_range_byte_by_byte(ranged: Path, tmp_path: Path, at: int) -> None:
    generate(tmp_path, days(at, at + 1), TINY, seed=7)
    alone, together = contents(tmp_path), contents(ranged)
    assert alone.keys() <= together.keys()
    assert alone == {name: together[name] for name in alone}
    assert len([name for name in alone if name.startswith("images/")]) > 70


def test_other_seeds_and_days_differ(tmp_path: Path, ranged: Path) -> None:
    generate(tmp_path, days(0, 1), TINY, seed=8)
    name = "day=2026-01-01/impressions.parquet"
    assert contents(tmp_path)[name] != contents(ranged)[name]


def test_a_folder_of_another_world_is_refused_and_names_the_difference(ranged: Path) -> None:
    with pytest.raises(InputError, match="seed is 7, asked for 8"):
        generate(ranged, days(5, 6), TINY, seed=8)


def test_foreign_landing_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "day=2026-01-01").mkdir()
    with pytest.raises(InputError, match="did not make"):
        generate(tmp_path, days(0, 1), TINY, seed=8)


def test_a_day_that_is_there_is_left(ranged: Path) -> None:
    before = (ranged / "day=2026-01-02").stat().st_mtime_ns
    generate(ranged, days(0, 3), TINY, seed=7)
    assert (ranged / "day=2026-01-02").stat().st_mtime_ns == before


def test_young_ads_have_three_tenths_of_every_day(week: list[Traffic]) -> None:
    assert min((traffic.age < 3).mean() for traffic in week) >= 0.30


def test_about_a_hundredth_of_impressions_are_on_ads_that_enter_that_day(week: list[Traffic]) -> None:
    assert 0.005 < np.mean([(traffic.age == 0).mean() for traffic in week]) < 0.02


def test_ctr_of_a_week_is_about_a_tenth(week: list[Traffic]) -> None:
    assert 0.09 <= np.mean([traffic.probability.mean() for traffic in week]) <= 0.11
    clicked = np.mean([len(traffic.clicks.impression) / len(traffic.ids) for traffic in week])
    assert 0.09 <= clicked <= 0.11


def test_planted_shares_sum_to_one_and_show_in_the_data(week: list[Traffic]) -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
    for cause, share in SHARES.items():
        found = np.concatenate([traffic.terms[cause] for traffic in week]).var() / LOGIT_VARIANCE
        assert found == pytest.approx(share, rel=0.2), cause


def test_no_id_tells_the_look(week: list[Traffic]) -> None:
    """The look's mean by category, brand or shop is what chance leaves: eta squared near (groups - 1) / ads."""
    maker = Maker(make_world(1, Sizes(), "category"))
    cohorts = [maker.cohort(FIRST.toordinal() + n) for n in range(12)]
    look = np.concatenate([c.look_score.sum(1) for c in cohorts])
    for name, bound in (("category", 0.03), ("brand", 0.10), ("shop", 0.15)):
        group = np.concatenate([getattr(c, name) for c in cohorts])
        fitted = np.array([look[group == g].mean() for g in range(group.max() + 1) if (group == g).any()])
        seen = np.unique(group, return_inverse=True)[1]
        assert fitted[seen].var() / look.var() < bound, name


@pytest.mark.parametrize(("looks", "spread"), [("category", True), ("plain", False)])
def test_looks_by_category_or_plain_at_equal_variance(looks: Looks, spread: bool) -> None:
    maker = Maker(make_world(1, TINY, looks))
    for factor in LOOKS:
        distinct = {round(float(phase) % (2 * np.pi), 6) for phase in maker.world.phases[factor]}
        assert len(distinct) == (12 if spread else 1)
    wide = Maker(make_world(1, Sizes(), looks))
    scores = np.concatenate([wide.cohort(FIRST.toordinal() + n).look_score for n in range(12)])
    assert scores.mean(0) == pytest.approx(np.zeros(5), abs=0.1)
    assert scores.var(0) == pytest.approx(np.ones(5), rel=0.1)


def test_controls_leave_the_other_draws_as_they_are() -> None:
    plain, shuffled = Maker(make_world(1, TINY, "plain")), Maker(make_world(1, TINY, "category"), True)
    usual = Maker(make_world(1, TINY, "category"))
    tables = [tables_of(maker, FIRST) for maker in (usual, plain, shuffled)]
    assert tables[0][0]["impressions"].equals(tables[1][0]["impressions"])
    assert tables[0][0]["ads"].equals(tables[1][0]["ads"])  # the same pictures, liked otherwise
    assert not tables[0][1].equals(tables[1][1])
    assert tables[0][1].equals(tables[2][1])  # the same truth, other pictures
    images = [t[0]["ads"]["image"].to_pylist() for t in (tables[0], tables[2])]
    moved = sum(a != b for a, b in zip(*images, strict=True))
    assert moved > len(images[0]) * 0.6


def test_impressions_see_ads_of_the_catalogue_and_clicks_land_in_their_folder(ranged: Path) -> None:
    for n, day in enumerate(days(0, 5)):
        folder = ranged / f"day={day}"
        known = set(pq.read_table(folder / "ads.parquet")["ad_id"].to_pylist())
        shown = pq.read_table(folder / "impressions.parquet")["ad_id"].to_pylist()
        assert sum(ad not in known for ad in shown) <= 1
        landed = pq.read_table(folder / "clicks.parquet")["landed_at"].to_pylist()
        assert {moment.date() for moment in landed} == {day}, n


def test_truth_lies_beside_the_days_and_covers_every_true_impression(ranged: Path) -> None:
    truth = pq.read_table(ranged / "truth" / "day=2026-01-03" / "truth.parquet").to_pydict()
    assert len(set(truth["impression_id"])) == TINY.impressions
    assert 0 < min(truth["p"]) < max(truth["p"]) < 1


def test_some_clicks_land_days_later() -> None:
    maker = Maker(make_world(1, Sizes(), "category"))
    clicks = tables_of(maker, FIRST + timedelta(days=4))[0]["clicks"].to_pylist()
    lags = [int("20260105") - int(row["impression_id"][1:9]) for row in clicks]
    assert {0, 1, 2, 3} == set(lags)
    assert 0.003 < sum(lag > 1 for lag in lags) / len(lags) < 0.02


@pytest.mark.parametrize("factor", ["colour", *LEVELS])
def test_every_look_factor_is_visible_at_32_pixels(factor: str) -> None:
    """Two levels differ by more than the nuisance of one level does, on 32 x 32 pixels."""
    base: dict[str, Any] = {"colour": 1.0, "shape": 0, "texture": 0, "layout": 0, "clutter": 0}
    far = 1.0 + np.pi if factor == "colour" else 2

    def mean_picture(value: float) -> np.ndarray:
        looks = Look(**{**base, factor: value})
        pictures = [draw(looks, 64, np.random.default_rng(n)) for n in range(24)]
        small = [np.asarray(Image.fromarray(picture).resize((32, 32)), float) for picture in pictures]
        return np.stack(small)

    one, other = mean_picture(base[factor]), mean_picture(far)
    if factor == "clutter":  # specks lie anywhere: compare the roughness of the ground
        rough = [np.abs(np.diff(pictures, axis=2)).mean((1, 2, 3)) for pictures in (one, other)]
        assert rough[1].min() > rough[0].max()
    else:
        between = np.abs(one.mean(0) - other.mean(0)).mean()
        within = np.abs(one[:12].mean(0) - one[12:].mean(0)).mean()
        assert between > 4 and between > 3 * within


def test_pictures_are_jpegs_named_by_their_digest(ranged: Path) -> None:
    good = 0
    for file in (ranged / "images").iterdir():
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() == file.stem:
            picture = Image.open(io.BytesIO(content))
            assert (picture.format, picture.size) == ("JPEG", (32, 32))
            good += 1
    assert good >= 0.95 * len(list((ranged / "images").iterdir()))


def test_command_generates_and_refuses_bad_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--impressions", "50", "--ads", "20", "--users", "10", "--image-size", "16"]
    assert command.main(["generate", "--seed", "3", "--end", "2026-01-03", "--out", str(tmp_path), *small]) == 0
    assert json.loads((tmp_path / "generator.json").read_text())["seed"] == 3
    assert command.main(["generate", "--seed", "3", "--out", str(tmp_path / "x"), "--ads", "3"]) == 2
    assert "it must be at least 10" in capsys.readouterr().err
