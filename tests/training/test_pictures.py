"""Pictures: decoded once, shared by processes, never a torn one; missing ones are grey, counted and bounded."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from contracts import paths
from contracts.errors import InputError
from contracts.settings import Settings
from training import pictures
from training.cscnn import GREY
from training.picture_cache import PictureCache
from training.pictures import Pictures

SIZE = 8


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path / "home", landing=tmp_path / "landing")
    paths.images(made).mkdir(parents=True)
    return made


def draw(settings: Settings, *names: str) -> list[str]:
    for at, name in enumerate(names):
        Image.new("RGB", (20, 10), (250, at * 7 % 250, 0)).save(paths.images(settings) / f"{name}.jpg")
    return list(names)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, SIZE, SIZE), np.uint8)


def kept(cache: PictureCache, digest: str) -> np.ndarray | None:
    into = np.zeros((3, SIZE, SIZE), np.uint8)
    return into if cache.read(digest, into) else None


def test_missing_and_broken_pictures_are_grey_and_a_late_one_is_seen(settings: Settings) -> None:
    store = Pictures(settings, SIZE)
    (paths.images(settings) / "bad.jpg").write_bytes(b"<html>404</html>")
    got = store.load([None, "absent", "bad"])
    assert got.shape == (3, 3, 8, 8) and (got == GREY).all() and store.unreadable == {"absent", "bad"}
    draw(settings, "absent")
    late = Pictures(settings, SIZE)
    assert late.load(["absent"])[0, 0].float().mean() > 240
    (paths.images(settings) / "absent.jpg").unlink()
    assert torch.equal(Pictures(settings, SIZE).load(["absent"]), late.load(["absent"]))  # from the cache


def test_beyond_the_bound_pictures_are_decoded_each_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    names = draw(settings, *(f"p{n}" for n in range(6)))
    whole = Pictures(settings, SIZE).load(names)
    opened: list[str] = []
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda path: opened.append(path.stem) or real(path))
    bounded = settings.model_copy(update={"picture_cache_bytes": 4 * 3 * SIZE * SIZE + 1})
    for _ in range(2):
        assert torch.equal(Pictures(bounded, SIZE).load(names), whole)
    assert opened == [*names, "p4", "p5"] and len(list((settings.home / "pictures").iterdir())) == 2
    none = settings.model_copy(update={"picture_cache_bytes": 0})
    assert torch.equal(Pictures(none, SIZE).load(names), whole) and len(opened) == 14


def test_files_do_not_grow_in_number_and_another_size_has_its_own(settings: Settings) -> None:
    store = Pictures(settings, SIZE)
    store.load(draw(settings, *(f"p{n}" for n in range(300))))
    Pictures(settings, 4).load(["p1"])
    assert store.cache.filled == 300
    assert len(list((settings.home / "pictures").iterdir())) == 4
    used = sum(file.stat().st_blocks * 512 for file in (settings.home / "pictures").iterdir())
    assert used < 4 * 10**6  # sparse: they look like 8 GB


def test_a_torn_write_is_no_picture(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path, SIZE, 100_000)
    for n in range(5):
        cache.keep(f"p{n}", picture(n))
    slot = int(cache._find(_key_of("p2"))[1]["slot"]) - 1
    with cache.pixel_file as file:
        file.seek(slot * cache.bytes + 50)
        file.write(b"\x00" * 60)  # the entry came to the disk, its last pixels did not
    again = PictureCache(tmp_path, SIZE, 100_000)
    assert kept(again, "p2") is None
    for n in (0, 1, 3, 4):
        np.testing.assert_array_equal(kept(again, f"p{n}"), picture(n))
    again.keep("p2", picture(2))
    np.testing.assert_array_equal(kept(again, "p2"), picture(2))
    assert again.filled == 5


def _key_of(digest: str) -> tuple[int, int]:
    from training.picture_cache import _key

    return _key(digest)


@pytest.mark.parametrize("written", [0, 1, 2])
def test_killed_between_two_writes_nothing_false_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """The three writes are pixels, count and entry: `written` of them were made."""
    from training import picture_cache

    cache, done = PictureCache(tmp_path, SIZE, 100_000), []
    cache.keep("before", picture(1))
    real = picture_cache._write

    def cut(file: object, data: bytes, at: int) -> None:
        if len(done) == written:
            raise KeyboardInterrupt
        done.append(at)
        real(file, data, at)

    monkeypatch.setattr(picture_cache, "_write", cut)
    with pytest.raises(KeyboardInterrupt):
        cache.keep("cut", picture(2))
    monkeypatch.undo()
    again = PictureCache(tmp_path, SIZE, 100_000)
    assert kept(again, "cut") is None
    again.keep("after", picture(3))
    again.keep("cut", picture(2))
    for name, seed in (("before", 1), ("after", 3), ("cut", 2)):
        np.testing.assert_array_equal(kept(again, name), picture(seed))


def test_keys_that_meet_in_the_table_are_told_apart(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path, SIZE, 20 * 3 * SIZE * SIZE)
    for n in range(30):
        cache.keep(f"p{n}", picture(n))
    found = [n for n in range(30) if kept(cache, f"p{n}") is not None]
    assert found == list(range(20)) and cache.full
    for n in found:
        np.testing.assert_array_equal(kept(cache, f"p{n}"), picture(n))


def _fill(folder: str, first: int) -> None:
    cache = PictureCache(Path(folder), SIZE, 10**6)
    for n in range(first, first + 200):
        cache.keep(f"p{n}", picture(n))


def test_processes_fill_one_cache_together(tmp_path: Path) -> None:
    own = PictureCache(tmp_path, SIZE, 10**6)
    processes = [multiprocessing.get_context("spawn").Process(target=_fill, args=(str(tmp_path), n)) for n in (0, 100)]
    for process in processes:
        process.start()
    _fill(str(tmp_path), 150)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert own.filled == 350  # 0-199, 100-299, 150-349: each once
    for n in range(350):
        np.testing.assert_array_equal(kept(own, f"p{n}"), picture(n))


def test_threads_load_at_once(settings: Settings) -> None:
    names = draw(settings, *(f"p{n}" for n in range(60)))
    store = Pictures(settings, SIZE)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda _: store.load(names), range(8)))
    assert all(torch.equal(one, got[0]) for one in got) and store.cache.filled == 60
    assert torch.equal(Pictures(settings.model_copy(update={"picture_cache_bytes": 0}), SIZE).load(names), got[0])


def test_too_many_unreadable_ones_stop_with_names(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Pictures(settings, SIZE, bound=0.2)
    store.load([*draw(settings, "a", "b", "c", "d"), "absent"])
    store.check()  # one of five is not more than a fifth
    store.load(["absent"] * 3)
    store.check()  # and counts once
    store.load(["gone"])
    with pytest.raises(InputError, match=rf"2 of 6 pictures.*{paths.images(settings)}.*0.2.*absent, gone"):
        store.check()
    monkeypatch.setattr(pictures, "ENOUGH", 6)
    with pytest.raises(InputError, match="unreadable_bound"):
        store.load([None])


