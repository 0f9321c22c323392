"""`adlens airflow ...`: Airflow's own command line on this home's Airflow."""

from __future__ import annotations

import os
import sys

from adlens import airflow_home
from contracts import paths
from contracts.settings import load


def main(argv: list[str] | None = None) -> int:
    """Becomes `airflow <argv>`; does not return."""
    settings = load()
    logs = paths.logs(settings)
    logs.mkdir(parents=True, exist_ok=True)
    airflow_home.prepare(settings, logs / "airflow.log")
    airflow_home.prepare_pools(settings, logs / "airflow.log")
    words = sys.argv[1:] if argv is None else argv
    test = words[:2] == ["dags", "test"]
    environment = airflow_home.test_environment(settings) if test else airflow_home.environment(settings)
    os.execve(airflow_home.airflow(), ["airflow", *words], environment)
