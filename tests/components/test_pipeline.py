"""The release pipeline: what the docstring lists are the tasks, the kept YAML is current, and it names no host."""

import re

import pytest
import yaml

from components import pipeline
from components.__main__ import COMPILED, compile_to, main, step_settings
from contracts.errors import MissingArtifact
from contracts.settings import load

HEAVY = ("train", "lookup-table")


@pytest.fixture(scope="module")
def documents() -> list[dict]:
    return list(yaml.safe_load_all(COMPILED.read_text()))


def test_the_kept_yaml_is_current(tmp_path):
    compile_to(tmp_path / "fresh.yaml")
    assert (tmp_path / "fresh.yaml").read_text() == COMPILED.read_text(), "run `python -m components compile`"


def test_the_docstring_lists_the_tasks(documents):
    listed = re.findall(r"^\d\. ([a-z-]+)", pipeline.__doc__, re.M)
    tasks = documents[0]["root"]["dag"]["tasks"]
    assert sorted(listed) == sorted(tasks)
    for before, after in zip(listed, listed[1:], strict=False):
        assert before in tasks[after]["dependentTasks"]


def test_caching_is_off(documents):
    assert not any(task.get("cachingOptions") for task in documents[0]["root"]["dag"]["tasks"].values())


def test_no_registry_and_no_installation(documents):
    text = COMPILED.read_text()
    assert "://" not in text and "pip install" not in text and "index" not in text
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        assert re.fullmatch(r"adlens-[a-z]+", executor["container"]["image"])


def test_train_and_lookup_table_ask_for_gpu_nodes(documents):
    executors = documents[0]["deploymentSpec"]["executors"]
    platform = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name, executor in executors.items():
        heavy = name.removeprefix("exec-") in HEAVY
        assert ("accelerator" in executor["container"].get("resources", {})) == heavy
        assert (name in platform) == heavy
    for name in HEAVY:
        asked = platform[f"exec-{name}"]
        assert asked["nodeSelector"]["labels"] == {"adlens.io/pool": "gpu"}
        assert asked["tolerations"][0]["effect"] == "NoSchedule"


def test_steps_get_the_settings_that_were_set_and_absolute_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load({"ADLENS_HOME": "home", "ADLENS_RECIPE": "tiny", "ADLENS_LANDING": "mine"})
    assert step_settings(settings, "2026-01-02") == {
        "ADLENS_HOME": str(tmp_path / "home"), "ADLENS_RECIPE": "tiny", "ADLENS_LANDING": str(tmp_path / "mine"),
        "ADLENS_OUTCOME": str(tmp_path / "home" / "kfp" / "outcome-2026-01-02"),
    }  # fmt: skip


def test_a_stage_that_stops_stops_the_pipeline(tmp_path, monkeypatch, capfd):
    """The real local runner and the real training command, in a home without tables."""
    monkeypatch.setenv("ADLENS_HOME", str(tmp_path))
    assert main(["run", "--day", "2026-02-02"]) == MissingArtifact.exit_code  # the step's own, past KFP
    assert not list((tmp_path / "kfp").glob("outcome*")), "it is taken once"
    said = capfd.readouterr()
    assert "stopped: the release pipeline of 2026-02-02" in said.err
    assert re.search(r"^.*error: .*ad_groups", said.out + said.err, re.M)


def test_a_day_that_is_none(capsys):
    assert main(["run", "--day", "tomorrow"]) == 2
    assert "YYYY-MM-DD" in capsys.readouterr().err
