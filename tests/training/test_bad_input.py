"""What is wrong with the input, what happens, and the exit code: the table in docs/training.md, where no other test is.

Elsewhere: pictures and their bound in test_pictures and test_train, days without groups in test_stream, parents in
test_warm_start and test_train, a GPU that is absent in test_loop, codes outside a table in tests/contracts/test_rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import safetensors.torch
import torch
from deltalake import DeltaTable, write_deltalake

from contracts import artifacts, paths
from contracts.errors import InputError
from contracts.features import feature_set
from contracts.report import read_all
from contracts.rows import UNKNOWN
from contracts.settings import Settings
from contracts.verdicts import GROUP_FIGURES
from training import model, reader
from training.__main__ import main
from training.compare import checks
from training.recipes import Recipe, tiny
from training.rows_fit import fit
from training.train import train_day

Made = Callable[..., Settings]
DAY = date(2026, 1, 8)


def tried(loss: str, **update: object) -> Recipe:
    return Recipe.model_validate(tiny().model_dump() | {"loss": loss, **update})


def relabel(settings: Settings, label: int, *days: str) -> None:
    """All impressions of these days, or of all, get this label."""
    address = paths.table(settings, "ad_groups")
    table = DeltaTable(address).to_pyarrow_table()
    rows = table.to_pylist()
    for row in rows:
        if not days or row["day"] in days:
            row["impressions"] = [one | {"label": label} for one in row["impressions"]]
    write_deltalake(address, type(table).from_pylist(rows, table.schema), mode="overwrite", partition_by=["day"])


def environment(monkeypatch: pytest.MonkeyPatch, settings: Settings, **more: object) -> None:
    values = {"home": settings.home, "landing": settings.landing, "recipe": settings.recipe, **more}
    for name, value in values.items():
        monkeypatch.setenv(f"ADLENS_{name.upper()}", str(value))


@pytest.mark.parametrize("label, words", [(0, "0 of the 420 impressions"), (1, "420 of the 420 impressions")])
def test_a_window_of_one_class_is_refused(
    make: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], label: int, words: str
) -> None:
    settings = make(days=8, impressions=60, ads=10)
    relabel(settings, label)
    environment(monkeypatch, settings)
    assert main(["train", "--day", "2026-01-08"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("day", ["2026-01-02", "2026-01-08"])  # of the window, and the held-out one
def test_groups_that_the_audit_stopped_are_refused(
    make: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], day: str
) -> None:
    settings = make(days=8, impressions=60, ads=10)
    stop = {"table": "ad_groups", "figure": "ad_labels_off", "value": 3.0, "lower": None, "upper": 0.0}
    figures = pa.Table.from_pylist([stop | {"day": day, "verdict": "stop"}])
    write_deltalake(paths.table(settings, GROUP_FIGURES), figures, partition_by=["day"])
    environment(monkeypatch, settings)
    assert main(["train", "--day", "2026-01-08"]) == 4
    assert f"stopped ad_groups of {day}" in capsys.readouterr().err


def test_a_window_without_groups_is_refused(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, make(days=8, impressions=0))
    assert main(["train", "--day", "2026-01-08"]) == 2


@pytest.mark.parametrize("loss", ["pointwise", "pairwise"])
def test_an_empty_day_a_day_of_one_class_and_a_broken_picture_are_counted(make: Made, loss: str) -> None:
    settings = make(days=8, impressions=60, ads=20, min_training_days=6)
    DeltaTable(paths.table(settings, "ad_groups")).delete("day = '2026-01-03'")
    relabel(settings, 0, "2026-01-04")
    picture = min(paths.images(settings).glob("*.jpg"))
    picture.write_bytes(picture.read_bytes()[:40])
    address = train_day(DAY, settings, tried(loss))
    manifest = artifacts.read(address)
    assert (manifest.rows["days"], manifest.rows["impressions"], manifest.rows["unreadable_pictures"]) == (6, 360, 1)
    (report,) = read_all(settings, "2026-01-08")
    assert any("1 pictures missing or unreadable" in remark for remark in report.remarks)
    assert any("6 days of groups, fewer than the window of 32" in remark for remark in report.remarks)
    weights = safetensors.torch.load_file(address.parent / model.WEIGHTS_FILE)
    assert all(torch.isfinite(weight).all() for weight in weights.values())


def test_held_out_days_of_one_class_stop_nothing_pairwise(make: Made) -> None:
    settings = make(days=8, impressions=60, ads=10, min_training_days=6)
    relabel(settings, 1, "2026-01-07")
    with pytest.raises(InputError, match="held-out days 2026-01-07 have the same label.*point-wise"):
        train_day(DAY, settings, tried("pairwise", held_out_days=1))


def test_a_window_of_one_picture_is_learnt_from(make: Made) -> None:
    settings = make(days=8, impressions=40, ads=1, fresh=0)
    assert artifacts.read(train_day(DAY, settings)).rows["pictures"] > 0


def test_what_was_never_seen_is_the_reserved_row(make: Made) -> None:
    settings, features = make(days=2, impressions=60, ads=10), list(feature_set("daily"))
    table = reader.open_table(paths.table(settings, "ad_groups"))
    maps = fit(features, reader.chunks(table, "2026-01-01", features), 1_000, 1)
    net = model.CTRModel(tiny(), features, maps).eval()
    category = model.category_rows(maps, [1, None])
    assert category.tolist() == [UNKNOWN, UNKNOWN] and net.cnn is not None
    own = next(iter(reader.chunks(table, "2026-01-02", features)))
    strange = {name: column.take(np.arange(len(own))) for name, column in own.codes.items()}
    for feature in features:
        if maps[feature.name].encoding == "vocabulary":
            strange[feature.name].codes[...] = 1  # no code of the first day
    found = model.tensors(features, maps, strange)
    for feature in features:
        assert int(found[feature.name].max()) < maps[feature.name].rows, feature.name
        if maps[feature.name].encoding == "vocabulary":
            assert int(found[feature.name].max()) <= UNKNOWN, feature.name
    with torch.no_grad():
        assert torch.isfinite(net.dcn(found, torch.zeros(len(own), 8))).all()


@pytest.mark.parametrize(
    "text, words",
    [
        ("base: tiny\nlearning_rate: 1\n", "learning_rate"),
        ("base: tiny\nfeature_set: dayly\n", "no feature set 'dayly'; known: "),
        ("base: tiny\nloss: hinge\n", "pairwise"),
    ],
)
def test_a_recipe_with_an_unknown_key_or_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    monkeypatch.setenv("ADLENS_HOME", str(tmp_path))
    monkeypatch.setenv("ADLENS_RECIPE", str(file))
    assert main(["train", "--day", "2026-01-08"]) == 6
    assert words in capsys.readouterr().err


COMPARED: list[tuple[str, int, str, Mapping[str, str]]] = [
    ("--last 2026-01-20 --days 2", 2, "ad_groups holds no groups of 2026-01-19, 2026-01-20, to be held out", {}),
    ("--last 2026-01-03 --days 1", 2, "at least 7 are needed", {}),
    ("--last 2026-01-08 --days 1 --tune 2", 2, "run 2026-01-07 trains on", {}),  # the day before is tuned on
    ("--last 8.1.2026", 2, "write it as YYYY-MM-DD", {}),
    ("--last 2026-01-08 --days 0", 2, "--days: '0' is not a whole number of at least 1", {}),
    ("--last 2026-01-08 --seeds some", 2, "--seeds: 'some' is not a whole number", {}),
    ("--last 2026-01-08 --rungs DCN --against daily", 2, "not allowed with argument", {}),
    ("--last 2026-01-08 --against dialy", 6, "no recipe 'dialy'", {}),
    ("--last 2026-01-08 --against tiny", 6, "is the setting's own recipe", {}),
    ("--last 2026-01-08 --rungs DCM", 6, "no rung DCM", {}),
    ("--last 2026-01-08", 6, "'daily_dcn' (setting ADLENS_RECIPE) has backbone none", {"recipe": "daily_dcn"}),
]


def test_a_comparison_that_cannot_be_is_refused_before_it_trains(
    make: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make(days=9, impressions=20, ads=5)
    for line, code, words, more in COMPARED:
        environment(monkeypatch, settings, **more)
        try:
            ended = main(["train", "compare", *line.split()])
        except SystemExit as stopped:  # argparse's
            ended = stopped.code
        assert ended == code, line
        assert words in capsys.readouterr().err, line
    assert not (settings.home_path / "compare").exists()
    with pytest.raises(InputError, match="0 of the 3 impressions of 2026-01-08 were clicked"):
        checks.labels(np.zeros(3), [DAY])
