"""The MLflow run of a training: parameters, metrics, and the model's files under `model`.

MLflow is told and never waited for: while it is away a training goes on, and points of curves are kept in memory. The
model's manifest is finished without it; only when MLflow has all of it the manifest names the run. One that names none
is told by the next call (train_day), so nothing is trained twice because MLflow was away.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from contracts import artifacts
from contracts.errors import PrerequisiteError
from contracts.settings import Settings

EXPERIMENT, ARTIFACT_PATH = "adlens", "model"
KEY, RUN = "key", "mlflow_run_id"  # tag of the run: the model's key; figure of the manifest: the run


class Run:
    """An MLflow run, written with the client: no global state. Only one of several processes has a `real` one.

    `key`: of the model; where given, a run of it that was begun and not finished is gone on with. `id` is empty while
    MLflow is away.
    """

    def __init__(self, settings: Settings, name: str, tags: Mapping[str, str], real: bool = True, key: str = ""):
        self.settings, self.name, self.tags, self.real, self.key = settings, name, dict(tags), real, key
        self.id, self.away = "", False
        self._waiting: list[tuple[int, dict[str, float]]] = []
        if real:
            self._try()

    def _try(self) -> None:
        try:
            self._open()
        except Exception:  # database, server and artifact store have errors of their own; `finish` tells them
            self.away = True

    def _open(self) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        for noisy in ("alembic", "mlflow"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        from mlflow.tracking import MlflowClient

        home = self.settings.home_path / "mlflow"
        home.mkdir(parents=True, exist_ok=True)
        with (home / "lock").open("w") as alone:  # two first runs at a time would both make the database's tables
            fcntl.flock(alone, fcntl.LOCK_EX)
            self.client = MlflowClient(self.settings.mlflow_tracking_uri)
            experiment = self.client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                # Beside the database; MLflow's own default is the current directory.
                where = None if self.settings.mlflow_uri else (home / "artifacts").as_uri()
                identifier = self.client.create_experiment(EXPERIMENT, artifact_location=where)
            else:
                identifier = experiment.experiment_id
        begun = self.client.search_runs([identifier], f"tags.{KEY} = '{self.key}'") if self.key else []
        run = begun[0] if begun else self.client.create_run(identifier, run_name=self.name, tags=self.tags)
        self.id = run.info.run_id
        if begun:
            self.client.update_run(self.id, "RUNNING")

    def curve(self, step: int, figures: Mapping[str, float]) -> None:
        """A point of each figure's curve. While MLflow is away it waits for `finish`."""
        self._waiting.append((step, dict(figures)))
        if not self.away:
            try:
                self._tell_waiting()
            except Exception:  # as in _try
                self.away = True

    def _tell_waiting(self) -> None:
        while self._waiting:
            step, figures = self._waiting[0]
            for name, value in figures.items():
                self.client.log_metric(self.id, name, value, step=step)
            del self._waiting[0]

    def finish(self, address: Path, parameters: Mapping[str, object], figures: Mapping[str, float]) -> None:
        """The finished model of a manifest; afterwards that names the run. Raises PrerequisiteError where MLflow does
        not take it."""
        try:
            text = self._written(address, parameters, figures)
        except Exception as error:  # as in _try
            first = str(error).strip().partition("\n")[0][:300]
            raise PrerequisiteError(
                f"MLflow at {self.settings.mlflow_tracking_uri} does not take the training's run ({first}); the model "
                f"is finished and kept ({address}): start MLflow or correct ADLENS_MLFLOW_URI, then run the same "
                "again; nothing is trained again"
            ) from None
        artifacts.write_atomically(address, text)

    def _written(self, address: Path, parameters: Mapping[str, object], figures: Mapping[str, float]) -> str:
        if not self.id:
            self._open()
        self._waiting.append((0, dict(figures)))
        self._tell_waiting()
        for name, value in parameters.items():
            self.client.log_param(self.id, name, value)
        for file in sorted(address.parent.iterdir()):
            if file != address:
                self.client.log_artifact(self.id, str(file), ARTIFACT_PATH)
        manifest = artifacts.read(address, check_files=False)
        named = manifest.model_copy(update={"figures": {**manifest.figures, RUN: self.id}})
        text = named.model_dump_json(indent=2) + "\n"
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / address.name
            draft.write_text(text, encoding="utf-8")
            self.client.log_artifact(self.id, str(draft), ARTIFACT_PATH)
        self.end()
        return text

    def end(self, status: str = "FINISHED") -> None:
        if self.id:
            self.client.set_terminated(self.id, status)

    def failed(self) -> None:
        """Beside an error that somebody must see: what MLflow has against it does not count."""
        with suppress(Exception):
            self.end("FAILED")
