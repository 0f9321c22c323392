"""The MLflow run of a training: parameters, metrics, and the model's files under `model`."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from contracts.settings import Settings

EXPERIMENT, ARTIFACT_PATH = "adlens", "model"


class Run:
    """An MLflow run, written with the client: no global state. Only one of several processes has a `real` one."""

    def __init__(self, settings: Settings, name: str, tags: Mapping[str, str], real: bool = True):
        self.id, self.real = "", real
        if not real:
            return
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        for noisy in ("alembic", "mlflow"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        from mlflow.tracking import MlflowClient

        home = settings.home_path / "mlflow"
        home.mkdir(parents=True, exist_ok=True)
        with (home / "lock").open("w") as alone:  # two first runs at a time would both make the database's tables
            fcntl.flock(alone, fcntl.LOCK_EX)
            self.client = MlflowClient(settings.mlflow_tracking_uri)
            experiment = self.client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                # Beside the database; MLflow's own default is the current directory.
                where = None if settings.mlflow_uri else (home / "artifacts").as_uri()
                identifier = self.client.create_experiment(EXPERIMENT, artifact_location=where)
            else:
                identifier = experiment.experiment_id
        self.id = self.client.create_run(identifier, run_name=name, tags=dict(tags)).info.run_id

    def log(self, parameters: Mapping[str, object], figures: Mapping[str, float]) -> None:
        for name, value in parameters.items():
            self.client.log_param(self.id, name, value)
        self.curve(0, figures)

    def curve(self, step: int, figures: Mapping[str, float]) -> None:
        """A point of each figure's curve."""
        for name, value in figures.items():
            self.client.log_metric(self.id, name, value, step=step)

    def add(self, file: Path) -> None:
        self.client.log_artifact(self.id, str(file), ARTIFACT_PATH)

    def end(self, status: str = "FINISHED") -> None:
        if self.real:
            self.client.set_terminated(self.id, status)
