"""`adlens gate demo` on the small world: seven bad challengers are refused, each for its own fault."""

from __future__ import annotations

import numpy as np
import pytest

from adlens.__main__ import main
from contracts import artifacts, paths
from contracts.errors import MissingArtifact
from release.judging import gate, gate_demo
from release.judging.gate_demo import CONTROL
from release.lookup import lookup_table

DAY = "2026-01-20"
WHY = {
    "random weights": "is not above the margin",
    "shifted labels": "is not above the margin",
    "stale features": "not those of the snapshot before it",
    "categories permuted": "is not above the margin",
    "over-confident": "log loss",
    "trained on the held-out day": "reaches into the held-out day",
    "a label leaked into a feature": "too good to be true",
}


def files(home) -> dict[str, tuple[int, int]]:
    """Everything of a home but the demonstration's own folder."""
    own = home / gate_demo.FOLDER
    found = (file for file in sorted(home.rglob("*")) if file.is_file() and own not in file.parents)
    return {str(file.relative_to(home)): (file.stat().st_size, file.stat().st_mtime_ns) for file in found}


def test_without_a_day_that_passed_it_says_what_to_run(world, monkeypatch, capsys):
    with pytest.raises(MissingArtifact, match="adlens day"):
        gate_demo.run(world.settings, None, print)
    monkeypatch.setenv("ADLENS_HOME", str(world.settings.home))
    assert main(["gate", "demo"]) == MissingArtifact.exit_code
    assert "adlens day" in capsys.readouterr().err


def test_seven_are_refused_the_control_goes_in_and_the_day_is_not_touched(world):
    settings = world.settings.model_copy(update={"min_training_days": 1, "recipe": "tiny"})
    world.groups("2026-01-13", seed=2, taste=1.5, turn=1)  # who clicked much then clicks little now
    world.groups("2026-01-15", seed=5, taste=1.5)
    world.groups(DAY, seed=6, taste=1.5, each=40)
    address = gate.run(lookup_table.run(world.model(DAY, "keen"), settings), settings)
    assert world.decision(address)["verdict"] == "yes", world.decision(address)["reasons"]
    before, said = files(settings.home_path), []
    found = {one.name: one for one in gate_demo.run(settings, None, said.append)}
    assert files(settings.home_path) == before
    assert list(found) == [*WHY, CONTROL]
    for name, words in WHY.items():
        assert found[name].answer == "no", (name, found[name])
        assert any(words in reason for reason in found[name].reasons), (name, found[name].reasons)
        assert any(name in line for line in said)
    assert found[CONTROL].answer == "yes", found[CONTROL].reasons
    sure = next((settings.home_path / gate_demo.FOLDER).glob("*/over_confident/artifacts/decision/*/*/decision.json"))
    assert (sure.parent / "roc.png").read_bytes()[:4] == b"\x89PNG"
    model = paths.artifacts(settings) / "model"
    assert len(list(model.rglob(artifacts.MANIFEST))) == 1  # trainings stay in the demonstration's folder
    assert np.isfinite([one.seconds for one in found.values()]).all()
