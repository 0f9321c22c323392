"""The layers are kept, and the check that keeps them can fail."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = (
    "contracts landing spark_jobs feature_repo training release serving components dags adlens pyproject.toml"
).split()


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = str(Path(sys.executable).with_name("lint-imports"))
    # Its own folder first: the packages that are looked at are the copy's.
    return subprocess.run([command, "--no-cache"], cwd=folder, env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
                          capture_output=True, text=True, timeout=300)  # fmt: skip


@pytest.mark.parametrize(
    "file, line, contract",
    [
        ("training/recipes.py", "import pyspark", "training knows no Spark, Airflow or Feast"),
        ("contracts/days.py", "import training.recipes", "contracts imports none of ours"),
        ("serving/scorer.py", "import mlflow", "serving knows no MLflow, Spark or Airflow"),
    ],
)
def test_a_forbidden_import_is_caught(tmp_path: Path, file: str, line: str, contract: str):
    for name in PACKAGES:
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    planted = tmp_path / file
    planted.write_text(planted.read_text() + f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode != 0
    assert f"{contract} BROKEN" in done.stdout, done.stdout[-2000:]


HEAVY = ("torch", "mlflow", "matplotlib", "pyspark", "airflow")  # seconds of every process that imports one


@pytest.mark.parametrize(
    "module",
    ["release.judging.gate", "release.judging.served_quality", "release.publishing.publish",
     "release.publishing.rollback", "release.versions.requests", "serving.predictor"],
)  # fmt: skip
def test_who_only_looks_vectors_up_starts_without_torch(module: str):
    asked = f"import sys, {module}; print([one for one in {HEAVY} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.stdout == "[]\n", done.stderr
