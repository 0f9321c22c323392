"""One Spark session for all Spark tests, and a home folder of its own for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contracts.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def _prepared_home() -> Path:
    """Where set-up put the JARs and Java: ADLENS_HOME, or `.adlens` in the repository."""
    root = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("ADLENS_HOME", root / ".adlens")).resolve()


def link_setup(home: Path) -> None:
    """Give a test's home the JARs and Java that set-up prepared."""
    home.mkdir(parents=True, exist_ok=True)
    for name in ("jars", "java_home", "java"):
        if (_prepared_home() / name).exists() and not (home / name).exists():
            (home / name).symlink_to(_prepared_home() / name)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    from spark_jobs.session import spark_session

    home = tmp_path_factory.mktemp("spark-home")
    link_setup(home)
    session = spark_session(Settings(home=home, spark_memory="1g"), "tests")
    yield session
    session.stop()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A fresh home and a landing folder `landing` that does not exist yet."""
    home = tmp_path / "home"
    link_setup(home)
    return Settings(home=home, landing=tmp_path / "landing")
