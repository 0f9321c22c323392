"""What a predictor refuses to load, and what its command line says."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from contracts.batch import CodeColumn
from contracts.errors import DamagedArtifact, MissingArtifact
from contracts.hashing import code
from contracts.settings import Settings
from serving import __main__ as command
from serving.bundle import open_bundle, open_current, read_pointer
from serving.sample import check_sample, write_sample
from serving.scorer import Scorer
from serving.table import VisualTable, codes_of


@pytest.mark.parametrize(
    "name", ["bundle.json", "weights.safetensors", "rows.safetensors", "visual.table"]
)
def test_one_changed_bit_or_a_lost_file_is_refused(make_bundle, name):
    folder = make_bundle()
    open_bundle(folder, whole=True)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DamagedArtifact):
        open_bundle(folder, whole=name == "visual.table")
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedArtifact):
        open_bundle(folder)
    (folder / name).unlink()
    with pytest.raises(MissingArtifact):
        open_bundle(folder)


@pytest.mark.parametrize("change", [{"format": 1}, {"surprise": 1}, {"features": ["no_such"]}, {"visual_dimension": 7}])
def test_another_format_is_refused(make_bundle, change):
    folder = make_bundle()
    info = json.loads((folder / "bundle.json").read_bytes())
    (folder / "bundle.json").write_text(json.dumps({**info, **change}))
    with pytest.raises(DamagedArtifact):
        open_bundle(folder, named=False)


def test_table_by_hand():
    codes = np.sort(np.array([code("a"), code("b")], np.int64))
    vectors = np.array([[1, 1], [2, 2], [9, 9]], np.float32)
    table = VisualTable(codes, vectors)
    found, known = table.of(["a", "x", "b", ""])
    assert known.tolist() == [True, False, True, False]
    assert sorted(found[:, 0].tolist()) == [1, 2, 9, 9] and found[1, 0] == 9
    empty = VisualTable(codes[:0], vectors[2:])
    assert empty.of(["a"])[0].tolist() == [[9, 9]]
    for wrong in ((codes[::-1], vectors), (codes, vectors[:2]), (codes.astype(float), vectors)):
        with pytest.raises(DamagedArtifact):
            VisualTable(*wrong).check()


def test_nothing_published_and_a_torn_pointer(tmp_path):
    settings = Settings(home=tmp_path)
    assert read_pointer(settings) is None
    with pytest.raises(MissingArtifact, match="nothing is published"):
        open_current(settings)
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "current.json").write_text('{"bundle": ')
    with pytest.raises(DamagedArtifact, match="no pointer"):
        read_pointer(settings)


def test_check_in_a_fresh_process(make_bundle, tmp_path):
    from contracts.features import feature_set

    folder = make_bundle()
    bundle = open_bundle(folder)
    columns = {}
    for f in feature_set("daily"):
        if f.kind == "numeric":
            columns[f.name] = CodeColumn.numeric([0.7, None])
        elif f.kind == "categorical":
            columns[f.name] = CodeColumn.categorical([code("x"), None])
        elif f.kind != "cross":
            columns[f.name] = CodeColumn.lists([[1, 2], None], f.limit)
    scorer, visual = Scorer(bundle), bundle.table.of(["ad-1", "new"])[0]
    scores = scorer.score(scorer.rows(columns), visual)
    ads, same = codes_of(["ad-1", "new"]), np.array([True, False])
    write_sample(tmp_path / "s", columns, visual, scores, ads, same)
    assert check_sample(bundle, tmp_path / "s")[0] == 2
    run = [sys.executable, "-m", "serving", "check", "--bundle", str(folder), "--sample"]
    done = subprocess.run([*run, str(tmp_path / "s")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "2 items" in done.stdout, done.stderr
    write_sample(tmp_path / "t", columns, visual, scores + 0.01, ads, same)
    done = subprocess.run([*run, str(tmp_path / "t")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 7 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    write_sample(tmp_path / "u", columns, visual, scores, codes_of(["ad-2", "new"]), same)  # whose vector this is not
    with pytest.raises(DamagedArtifact, match="1 of 1 ads looked up another vector"):
        check_sample(bundle, tmp_path / "u")
    write_sample(tmp_path / "v", columns, visual, scores, ads, np.array([False, True]))
    with pytest.raises(DamagedArtifact, match="none of the 1 ads"):
        check_sample(bundle, tmp_path / "v")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ads", "a"], "nothing is published"),
        (["--ads", ",", "--at", "2026-01-01T00:00:00Z"], "names no ad"),
    ],
)
def test_predict_says_what_is_wrong(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.setenv("ADLENS_HOME", str(tmp_path))
    assert command.main(["predict", "--user", "u", *arguments]) != 0
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("moment", ["yesterday", "2026-01-01T00:00:00"])
def test_a_moment_needs_a_time_zone(moment):
    from contracts.errors import InputError

    with pytest.raises(InputError, match="--at"):
        command._moment(moment, "2026-01-20", Settings())
    assert command._moment(None, "2026-01-20", Settings()).isoformat() == "2026-01-21T00:00:00+00:00"
    assert command._moment("2026-01-01T08:00:00+08:00", "2026-01-20", Settings()).hour == 0
