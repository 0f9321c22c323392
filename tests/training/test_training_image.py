"""Training where only requirements/training.txt is installed: what the Kubeflow component starts, without the rest.

Every Python process of these tests gets a `sitecustomize` that hides what is not of that lock, as if it were absent.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from components import steps
from contracts import artifacts
from contracts.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
OURS = {"contracts", "training"}  # what the image holds of this repository
HIDE = '''"""Only what a training image holds."""
import sys
from importlib.machinery import PathFinder

LOCKED, HIDDEN = {locked!r}, {hidden!r}


class Installed(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else super().find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, *context):
        found = super().find_distributions(*context)
        return (one for one in found if one.metadata["Name"].lower().replace("_", "-") in LOCKED)


sys.meta_path[sys.meta_path.index(PathFinder)] = Installed
'''


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment variables of a process that sees the training set and our two packages only."""
    lock = (ROOT / "requirements/training.txt").read_text()
    locked = {name.lower() for name in re.findall(r"^([\w.-]+)==", lock, re.M)}
    owners = importlib.metadata.packages_distributions()
    hidden = {top for top, names in owners.items() if not locked & {n.lower().replace("_", "-") for n in names}}
    hidden |= {folder.parent.name for folder in ROOT.glob("*/__init__.py")}
    folder = tmp_path_factory.mktemp("image")
    (folder / "sitecustomize.py").write_text(HIDE.format(locked=locked, hidden=hidden - OURS))
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def python(image: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **image}
    return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("absent", ["pyspark", "airflow", "feast", "kfp", "great_expectations", "pytest", "release"])
def test_what_is_not_of_the_image_cannot_be_imported(image: dict[str, str], absent: str) -> None:
    done = python(image, "-c", f"import {absent}")
    assert f"ModuleNotFoundError: No module named '{absent}'" in done.stderr


def test_each_module_can_be_imported(image: dict[str, str]) -> None:
    files = sorted(file for package in OURS for file in (ROOT / package).rglob("*.py"))
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files if file.stem != "__main__"]
    done = python(image, "-c", "\n".join(f"import {name.removesuffix('.__init__')}" for name in names))
    assert len(names) > 60 and done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("words, said", [(["train"], "--address-file"), (["train", "compare"], "--rungs")])
def test_the_entry_point_explains_itself(image: dict[str, str], words: list[str], said: str) -> None:
    done = python(image, "-m", "training", *words, "--help")
    assert done.returncode == 0 and said in done.stdout, done.stderr[-2000:]


def test_the_component_trains(
    image: dict[str, str], make: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make(days=8, impressions=60, ads=10)
    for name, value in image.items():
        monkeypatch.setenv(name, value)
    given = {"ADLENS_HOME": settings.home, "ADLENS_LANDING": settings.landing, "ADLENS_RECIPE": "tiny"}
    address = steps.train.python_func("2026-01-08", {name: str(value) for name, value in given.items()})
    manifest = artifacts.read(address)
    assert manifest.kind == "model" and manifest.rows["impressions"] == 7 * 60
    with pytest.raises(subprocess.CalledProcessError) as stopped:
        steps.train.python_func("2026-01-08", {**given, "ADLENS_HOME": str(settings.home / "empty")})
    assert stopped.value.returncode == 5
