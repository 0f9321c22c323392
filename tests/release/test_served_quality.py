"""What was served on a day whose labels are complete: scored as served, alarmed by its band, taken back by setting."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from deltalake import DeltaTable

from contracts import paths
from contracts.delta_dataset import dataset
from release.judging import gate, served_quality
from release.lookup import lookup_table
from release.publishing import publications, publish
from release.publishing.rollback import rollback
from serving.bundle import open_current
from training import metrics

ONE, TWO, MATURE, RUN = "2026-01-19", "2026-01-20", "2026-01-21", "2026-01-24"  # lateness: 3 days


def release(world, day: str, kind: str):
    model = world.model(day, kind, ("2026-01-09", day))
    return publish.run(gate.run(lookup_table.run(model, world.settings), world.settings), world.settings)


@pytest.fixture
def served(world):
    """`dull` published on the 19th, `sharp` on the 20th: the latter served the 21st."""
    world.catalogue("2026-01-18", 10)
    world.groups(ONE, seed=7)
    assert release(world, ONE, "dull").action == "publish"
    assert release(world, TWO, "sharp").action == "publish"
    world.groups(MATURE, seed=9)
    return world


def rows(world) -> list[dict]:
    return served_quality.measured(world.settings)


def test_it_scores_with_what_served_the_day(served):
    found = served_quality.run(RUN, served.settings)
    assert found is not None and found.day == MATURE and found.reasons == []
    (row,) = rows(served)
    log = publications.read(served.settings)
    assert (row["publication"], row["bundle"]) == (2, log[1].bundle) and row["level"] == "pass"
    assert row["rows"] == 1200 and 0 < row["clicks"] < 1200
    # `sharp` gives each user his own rate: its AUC is that of the rates themselves, up to a whisper
    table = dataset(DeltaTable(paths.table(served.settings, "ad_groups")), [MATURE]).to_table()
    shown = [one for group in table.column("impressions").to_pylist() for one in group]
    label, rate = (np.array([one[name] for one in shown]) for name in ("label", "c_user_ctr_7d"))
    assert row["auc"] == pytest.approx(metrics.auc(label, rate), abs=0.02)
    assert json.loads(row["lower"])["calibration"] == 0.67


def test_a_rollback_later_does_not_change_what_served_then(served):
    rollback(served.settings, reason="a test")
    served_quality.run(RUN, served.settings)
    # the rollback is of run 2026-01-20 too: it came before the 21st began
    assert rows(served)[0]["publication"] == 3
    assert publications.champion_of(publications.read(served.settings), TWO).publication == 1


def test_again_writes_nothing_and_says_the_same(served):
    first = served_quality.run(RUN, served.settings)
    version = DeltaTable(paths.table(served.settings, "served_quality")).version()
    again = served_quality.run(RUN, served.settings)
    assert again.reasons == first.reasons and again.day == first.day
    assert DeltaTable(paths.table(served.settings, "served_quality")).version() == version


def test_nothing_served_or_nothing_mature_is_no_row(world, served):
    assert served_quality.run("2026-01-22", served.settings) is None  # the 19th: nothing served it
    assert served_quality.run("2026-02-20", served.settings) is None  # no groups of that day
    assert rows(served) == []


def test_a_bad_day_alarms_and_takes_the_model_back_only_by_setting(served, capsys, monkeypatch):
    served.groups(MATURE, seed=9, turn=2)  # what was served knows nothing of it: labels by the turned rates ...
    table = dataset(DeltaTable(paths.table(served.settings, "ad_groups")), [MATURE]).to_table()
    wrong = table.to_pylist()
    for group in wrong:
        for one in group["impressions"]:  # ... features by the old ones: a store that was not loaded
            one["c_user_ctr_7d"] = (0.02, 0.1, 0.3, 0.6)[int(one["user_id"][1:]) % 4]
    import pyarrow as pa

    served._write("ad_groups", MATURE, pa.Table.from_pylist(wrong, schema=table.schema))
    found = served_quality.run(RUN, served.settings)
    assert any(reason.startswith("auc") for reason in found.reasons) and found.action == ""
    assert rows(served)[0]["level"] == "warn"
    assert open_current(served.settings)[1].publication == 2  # the setting is off

    DeltaTable(paths.table(served.settings, "served_quality")).delete()
    chosen = served.settings.model_copy(update={"auto_rollback": True})
    monkeypatch.setattr("contracts.settings.load", lambda: chosen)
    from release.__main__ import main

    assert main(["served-quality", "--day", RUN]) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith(f"alarm: {MATURE}: auc ") and "rolled back: publication 3" in last
    log = publications.read(chosen)
    assert open_current(chosen)[1].bundle == log[0].bundle == log[-1].bundle
    assert log[-1].action == "rollback" and "by itself" in log[-1].reason
    assert datetime.now(UTC) - datetime.fromisoformat(log[-1].at) < timedelta(minutes=10)  # when, and not the run's day
    # another day of the same model is told, and nothing more is taken back: it serves no longer
    DeltaTable(paths.table(served.settings, "served_quality")).delete()
    entry = log[1]
    assert "another model" in served_quality._back(entry, log, MATURE, found.reasons, chosen)
    assert "no earlier model" in served_quality._back(log[0], log[:1], MATURE, found.reasons, chosen)


@pytest.mark.parametrize(
    ("name", "before", "wanted"),
    [
        ("auc", [], (0.5, None)),
        ("auc", [0.7] * 6, (0.5, None)),  # too few days for a band of its own
        ("auc", [0.7] * 7, (0.68, None)),  # no spread: the least width
        ("auc", [0.6, 0.8] * 4, (0.7 - 4 * np.std([0.6, 0.8] * 4, ddof=1), None)),
        ("auc", [0.7] * 7 + [None], (0.68, None)),
        ("calibration", [1.0] * 7, (math.exp(-0.15), math.exp(0.15))),
        ("calibration", [1.1] * 3, (0.67, 1.5)),
    ],
)
def test_bands(name, before, wanted):
    assert served_quality.band(name, before) == pytest.approx(wanted)


def test_outside():
    bands = {"auc": (0.7, None), "calibration": (0.8, 1.25)}
    assert served_quality.outside({"auc": 0.71, "calibration": 1.2}, bands) == []
    assert len(served_quality.outside({"auc": 0.69, "calibration": 1.3}, bands)) == 2
    assert "nan" in served_quality.outside({"auc": math.nan, "calibration": 1.0}, bands)[0]
