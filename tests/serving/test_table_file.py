"""The lookup table's file: what goes in comes out, what is not whole or not ours is refused, opening costs nothing."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from contracts.batch import CodeColumn
from contracts.errors import DamagedArtifact, MissingArtifact
from serving.table import Codec, VisualTable, codes_of, open_table, table_writer
from serving.table_file import PAGE

ADS = [f"ad-{n}" for n in range(300)]


def codec(storage: str, kept: int | None = None, width: int = 6) -> Codec:
    """With a random orthonormal basis of `kept` of `width` dimensions; none of them: none."""
    if kept is None:
        return Codec(storage)
    random = np.random.default_rng(1)
    basis = np.linalg.qr(random.normal(size=(width, width)))[0][:kept].astype(np.float32)
    scales = np.full(kept, 0.05, np.float32) if storage == "int8" else None
    return Codec(storage, random.normal(size=width).astype(np.float32), basis, scales)


def table(of: Codec, width: int = 6) -> tuple[VisualTable, np.ndarray]:
    """(a table of ADS, their own vectors in the order of its codes)."""
    x = np.random.default_rng(2).normal(size=(len(ADS) + 1, width)).astype(np.float32)
    fallbacks = of.reduced(np.full((2, width), [[3.0], [4.0]], np.float32))
    return VisualTable(np.sort(codes_of(ADS)), of.stored(x), of, np.array([-5, 9]), fallbacks), x


@pytest.mark.parametrize(
    ("of", "tolerance"),
    [
        (codec("fp32"), 0),
        (codec("fp16"), 2e-3),
        (codec("fp32", 6), 1e-5),
        (codec("fp32", 2), 1e-5),
        (codec("int8", 6), 0.026),  # half a scale
        (codec("int8", 3), 0.026),
    ],
)
def test_what_goes_in_comes_out(tmp_path: Path, of: Codec, tolerance: float) -> None:
    made, x = table(of)
    opened = open_table(made.save(tmp_path / "a.table"))
    opened.check()
    assert (opened.dimension, opened.visual_dimension) == (len(of.reduced(x[0])), 6)
    found, known = opened.of_codes(made.codes)
    assert known.all() and found.dtype == np.float32
    np.testing.assert_allclose(found, of.reduced(x[:-1]), atol=tolerance)
    strange, known = opened.of(["nobody"])
    np.testing.assert_allclose(strange, of.reduced(x[-1:]), atol=tolerance)
    assert not known.any()


def test_the_fallback_of_a_category(tmp_path: Path) -> None:
    opened = open_table(table(codec("fp16"))[0].save(tmp_path / "a.table"))
    category = CodeColumn.categorical([9, 9, -5, 7, None])
    found, known = opened.of(["ad-1", "x", "y", "z", "w"], category)
    assert known.tolist() == [True, False, False, False, False]
    assert found[1].tolist() == [4.0] * 6 and found[2].tolist() == [3.0] * 6
    np.testing.assert_array_equal(found[3:], np.stack([opened.of(["x"])[0][0]] * 2))
    assert not np.array_equal(found[0], found[1])


def test_a_table_without_pictures(tmp_path: Path) -> None:
    none = VisualTable(np.sort(codes_of(ADS)), np.zeros((len(ADS) + 1, 0), np.float32))
    found, known = open_table(none.save(tmp_path / "a.table")).of(["ad-3", "nobody"])
    assert found.shape == (2, 0) and known.tolist() == [True, False]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def test_what_is_not_whole_or_not_ours_is_refused(tmp_path: Path) -> None:
    made, _ = table(codec("int8", 3))
    path = made.save(tmp_path / "a.table")
    whole = path.read_bytes()
    for at, said in ((0, "no table file"), (8, "format 0; this program reads format 1"), (40, "header does not match")):
        flip(path, at)
        with pytest.raises(DamagedArtifact, match=said):
            open_table(path)
        path.write_bytes(whole)
    path.write_bytes(whole[:8] + (2).to_bytes(4, "little") + whole[12:])
    with pytest.raises(DamagedArtifact, match="format 2; this program reads format 1"):
        open_table(path)
    for length in (0, 10, 100, PAGE, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedArtifact):
            open_table(path)
    path.write_bytes(whole)
    flip(path, len(whole) - PAGE)  # in the last array: opening does not read it, the check does
    with pytest.raises(DamagedArtifact, match="checksum in its header"):
        open_table(path).check()
    path.unlink()
    with pytest.raises(MissingArtifact):
        open_table(path)
    writer = table_writer(path, Codec(), {"other": ("<f4", (3,))}, {})
    writer.finish()
    with pytest.raises(DamagedArtifact, match="no lookup table"):
        open_table(path)


def test_an_unfinished_file_has_no_name(tmp_path: Path) -> None:
    writer = table_writer(tmp_path / "a.table", Codec(), Codec().shapes(3, 2), {})
    writer.arrays["vectors"][:] = 1
    assert not (tmp_path / "a.table").exists()
    writer.finish()
    assert [file.name for file in tmp_path.iterdir()] == ["a.table"]


def test_codes_out_of_order_and_numbers_that_are_none(tmp_path: Path) -> None:
    made, _ = table(codec("fp32"))
    with pytest.raises(DamagedArtifact, match="ascend"):
        dataclasses.replace(made, codes=made.codes[::-1].copy()).check()
    vectors = made.vectors.copy()
    vectors[7, 1] = np.nan
    with pytest.raises(DamagedArtifact, match="not finite"):
        dataclasses.replace(made, vectors=vectors).check()


OPENED = """
import resource, sys
from pathlib import Path
from serving.table import open_table
open_table(Path(sys.argv[2]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
table = open_table(Path(sys.argv[1]))
table.of([f"ad-{n}" for n in range(100)])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_opening_does_not_read(tmp_path: Path) -> None:
    """Of 160 MB the opening and a hundred lookups touch some pages."""
    of, n = Codec("fp16"), 4_000_000
    writer = table_writer(tmp_path / "large.table", of, of.shapes(n, 16), {})
    writer.arrays["codes"][:] = np.linspace(-(2**63) + 1, 2**63 - 2**11, n).astype(np.int64)
    large, small = writer.finish(), table(Codec())[0].save(tmp_path / "small.table")
    with large.open("rb") as file:  # out of the page cache: a page in it may be mapped with many neighbours
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    run = [sys.executable, "-c", OPENED, str(large), str(small)]
    kilobytes = subprocess.run(run, capture_output=True, text=True, check=True, timeout=120).stdout
    assert int(kilobytes) < 60_000
