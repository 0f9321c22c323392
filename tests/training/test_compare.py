"""`adlens train compare` on a made world, end to end; and its figures by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts import paths
from contracts.errors import SettingsError
from contracts.settings import Settings
from training.__main__ import main
from training.compare import command
from training.compare.figures import compared, shown
from training.compare.rungs import RUNGS, trials, variant
from training.compare.runs import Result, Run
from training.compare.shuffled import with_shuffled_pictures
from training.compare.sweeps import sweep
from training.evaluate import Scored
from training.reader import open_table
from training.recipes import daily
from training.truth import true_probabilities

Made = Callable[..., Settings]


def scored(label: np.ndarray, score: np.ndarray) -> Scored:
    rows = np.arange(len(label))
    names = rows.astype(str).astype(object)
    return Scored(names, (rows % 40).astype(str).astype(object), names, label.astype(np.float32), score)


def test_the_rungs_are_table_8s() -> None:
    five = [variant(daily(), name) for name in RUNGS]
    assert [one.backbone for one in five] == ["none"] + 4 * ["resnet18"]
    assert [one.cnn_fixed for one in five] == [False, True, False, False, False]
    assert [one.attention for one in five[1:]] == ["none", "none", "cbam", "cbam"]
    assert [one.category_prior for one in five[1:]] == [False, False, False, True]


def test_each_rung_is_tuned_with_the_same_draws() -> None:
    tried = [trials(variant(daily(), name), 4, seed=3) for name in RUNGS]
    assert all(len(each) == 4 and each[0].dense_rate == daily().dense_rate for each in tried)
    assert len({tuple(one.dense_rate for one in each) for each in tried}) == 1
    factors = [one.dense_rate / daily().dense_rate for one in tried[0]]
    assert len(set(factors)) == 4 and all(1 / 3 <= factor <= 3 for factor in factors)


def test_tuning_takes_each_rungs_best_trial_on_the_day_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each rung's three trials another one is made the best; only the day before the first held-out one is used."""
    rungs = {name: variant(daily(), name) for name in ("DCN", "DCN + CBAM", "DCN + CSCNN")}
    tried = {name: trials(chosen, 3, seed=5) for name, chosen in rungs.items()}
    best = dict(zip(rungs, (2, 0, 1), strict=True))
    wanted = {name: tried[name][at] for name, at in best.items()}
    label = np.array([0, 1, 0, 1], np.float32)
    asked_for: list[Run] = []

    def carried(runs: list[Run], settings: Settings, jobs: int) -> list[Result]:
        asked_for.extend(runs)
        good = [run.recipe in wanted.values() for run in runs]
        return [Result(scored(label, np.array([0.1, 0.9, 0.2, 0.8 if one else 0.0])), {}) for one in good]

    monkeypatch.setattr(command, "carry_out", carried)
    asked = command.parsed(["--last", "2026-01-20", "--days", "3", "--tune", "3"])
    assert command.tuned(rungs, asked, Settings(seed=5)) == wanted
    assert {(run.day, run.seed) for run in asked_for} == {(date(2026, 1, 17), 5)} and len(asked_for) == 9


def test_gains_are_paired_and_shares_are_of_the_way_to_the_best() -> None:
    random = np.random.default_rng(0)
    truth = random.random(4000)
    label = (random.random(4000) < truth).astype(np.float32)
    noise = [random.normal(size=4000) for _ in range(2)]
    weak = [scored(label, 0.1 * truth + one) for one in noise]
    strong = [scored(label, 2 * truth + one) for one in noise]
    every = np.ones(4000, np.bool_)
    first, better, best = compared([weak, strong, [scored(label, truth)] * 2], truth, every, 200, 1)
    assert (first.gain.value, first.gain.low, first.gain.high) == (0, 0, 0) and first.step is None
    assert better.gain.low > 0 and better.gain.low < better.gain.value < better.gain.high
    assert better.closed is not None and 0 < better.closed.low < better.closed.value < better.closed.high < 1
    assert best.closed is not None and best.closed.low == pytest.approx(1) and best.spread == 0
    assert best.step is not None and best.step.value == pytest.approx(best.auc - better.auc) and best.step.low > 0
    (alone,) = compared([weak], None, every, 50, 1)
    assert alone.closed is None


def test_two_rungs_from_the_command_to_the_report(
    make: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make(days=9, impressions=250, fresh=12, min_training_days=5)
    truth = settings.landing_path / "truth" / "day=2026-01-09"
    truth.mkdir(parents=True)
    ids = [f"2026-01-09-{at}" for at in range(250)]
    pq.write_table(pa.table({"impression_id": ids, "p": np.linspace(0.1, 0.4, 250)}), truth / "truth.parquet")
    for name in ("home", "landing", "recipe", "min_training_days"):
        monkeypatch.setenv(f"ADLENS_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("ADLENS_BOOTSTRAP_SAMPLES", "20")
    words = ["train", "compare", "--last", "2026-01-09", "--days", "1", "--seeds", "2", "--jobs", "1"]
    assert main([*words, "--rungs", "DCN", "DCN + CSCNN"]) == 0
    said = capsys.readouterr().out
    assert "| DCN + CSCNN | 0." in said and "best possible" in said and "cold ads" in said
    home = settings.home_path / "compare" / "rungs"
    whole = json.loads((home / "figures.json").read_text())
    assert set(whole["figures"]["all"]) == {"DCN", "DCN + CSCNN"}
    assert whole["costs"]["DCN + CSCNN"]["parameters"] > whole["costs"]["DCN"]["parameters"]
    assert (home / "auc.png").stat().st_size > 5_000
    assert not (settings.home_path / "artifacts").exists()  # the comparison keeps to its own folder
    assert main([*words, "--rungs", "DCM"]) == 6
    assert "no rung DCM" in capsys.readouterr().err


def test_an_ad_without_a_group_in_the_window_is_cold(make: Made) -> None:
    settings = make(days=3, impressions=200, ads=20, fresh=5)
    table = open_table(paths.table(settings, "ad_groups"))
    before, after = (shown(table, days) for days in (["2026-01-01"], ["2026-01-01", "2026-01-02"]))
    assert "ad24" in before and "ad29" not in before and "ad29" in after
    assert sum(after.values()) == open_table(paths.table(settings, "ad_groups")).to_pyarrow_dataset().filter(
        pa.compute.field("day") < "2026-01-03"
    ).count_rows()


def test_truth_is_nan_where_the_generator_knows_nothing(tmp_path: Path) -> None:
    settings, impressions = Settings(landing=tmp_path), ["0", "1"]
    assert true_probabilities(settings, ["2026-01-01"], impressions) is None
    folder = tmp_path / "truth" / "day=2026-01-01"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"impression_id": ["0"], "p": [0.25]}), folder / "truth.parquet")
    found = true_probabilities(settings, ["2026-01-01"], impressions)
    assert found is not None and found[0] == 0.25 and np.isnan(found[1])


def test_shuffled_pictures_are_other_ads(make: Made) -> None:
    settings = make(days=1)
    landing = with_shuffled_pictures(settings, settings.home_path / "compare" / "x")
    assert with_shuffled_pictures(settings, settings.home_path / "compare" / "x") == landing
    moved = [link for link in (landing / "images").iterdir() if link.resolve().name != link.name]
    files = list(paths.images(settings).iterdir())
    assert len(list((landing / "images").iterdir())) == len(files) and len(moved) > len(files) / 2


def test_a_sweep_changes_its_fields_together_and_nothing_else() -> None:
    swept = sweep(daily(), ["impressions_per_picture=1,16", "pictures_per_batch=256,16"])
    single, own = swept.values()
    assert list(swept) == [f"impressions_per_picture = {a}, pictures_per_batch = {b}" for a, b in ((1, 256), (16, 16))]
    assert own == daily()  # the recipe's own values: its own trainings
    changed = {"impressions_per_picture": 1, "pictures_per_batch": 256, "name": single.name}
    assert single == daily().model_copy(update=changed) and single.name != daily().name
    several = sweep(daily(), ["attention_layers=0,4,null"])
    assert [one.attention_layers for one in several.values()] == [0, 4, None]
    assert [one.deep for one in sweep(daily(), ["deep=[64,32],[8]"]).values()] == [(64, 32), (8,)]


@pytest.mark.parametrize(
    "asked, words",
    [
        (["prior_sise=2,4"], "'prior_sise' is no field of a recipe.*FIELD=V1,V2.*prior_size"),
        (["prior_size"], "no field|FIELD=V1,V2"),
        (["prior_size=2"], "at least two values.*prior_size has 1"),
        (["prior_size="], "at least two values.*prior_size has 0"),
        (["prior_size=2,4", "width=8"], "equally many; prior_size has 2, width has 1"),
        (["prior_size=2,4", "prior_size=2,4"], "each field once"),
        (["prior_size=2,0"], "prior_size = 0 cannot be: prior_size: Input should be greater than 0"),
        (["grouping=ad,all"], "grouping = all cannot be: grouping: Input should be 'ad', 'user' or 'none'"),
        (["prior_size=2,2"], "prior_size = 2 is asked for twice"),
        (["prior_size=2,]"], "no list of values"),
        (["name=a,b"], "'name' is no field"),
    ],
)
def test_a_sweep_that_cannot_be_says_what_could(asked: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        sweep(daily(), asked)


def test_a_sweep_of_groupings_compares_readers_on_the_same_impressions(
    make: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make(days=9, impressions=250, fresh=12, min_training_days=5, users=True)
    for name in ("home", "landing", "recipe", "min_training_days"):
        monkeypatch.setenv(f"ADLENS_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("ADLENS_BOOTSTRAP_SAMPLES", "20")
    words = ["compare", "--last", "2026-01-09", "--days", "1", "--seeds", "1", "--jobs", "1"]
    assert main([*words, "--sweep", "grouping=ad,user,none"]) == 0
    assert "| grouping = none | 0." in capsys.readouterr().out
    home = settings.home_path / "compare" / "sweeps"
    whole = json.loads((home / "grouping" / "figures.json").read_text())
    costs = {name: whole["costs"][f"grouping = {name}"] for name in ("ad", "user", "none")}
    assert all(cost["impressions"] == 8 * 250 for cost in costs.values())
    assert costs["ad"]["steps"] == costs["none"]["steps"]  # only the order differs
    assert costs["none"]["pictures"] == 8 * 250 and costs["ad"]["pictures"] < costs["user"]["pictures"] < 8 * 250
    assert whole["figures"]["all"]["grouping = ad"]["gain"]["value"] == 0
    assert (home / "grouping" / "auc.png").stat().st_size > 5_000
    models = sorted((home / "artifacts" / "model" / "2026-01-09").iterdir())
    assert main([*words, "--sweep", "prior_size=4,2"]) == 0  # the recipe's own value was trained above
    assert len(sorted((home / "artifacts" / "model" / "2026-01-09").iterdir())) == len(models) + 1
    assert main([*words, "--sweep", "prior_size=4"]) == 6
    with pytest.raises(SystemExit):
        main([*words, "--sweep", "prior_size=4,2", "--rungs", "DCN"])


def _first_run(settings: Settings) -> str:
    from training.tracking import Run

    run = Run(settings, "first", {})
    run.end()
    return run.id


def test_first_runs_at_the_same_time_share_one_database(tmp_path: Path) -> None:
    """Compared trainings begin together in a home that is new."""
    settings = Settings(home=tmp_path / "home")
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        ids = list(pool.map(_first_run, [settings] * 3))
    assert len(set(ids)) == 3 and all(ids)
