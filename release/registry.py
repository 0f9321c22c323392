"""MLflow's registered model: a version for each published model, and the alias `champion` on what is served."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from contracts import artifacts
from contracts.errors import MissingArtifact
from contracts.settings import Settings

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

NAME, ALIAS = "adlens", "champion"
MANIFEST_TAG = "manifest"


def client_of(settings: Settings) -> MlflowClient:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    if not settings.mlflow_uri:
        (settings.home_path / "mlflow").mkdir(parents=True, exist_ok=True)
    return MlflowClient(settings.mlflow_tracking_uri)


def crown(model: Path, bundle: str, settings: Settings) -> str:
    """Moves the alias to the version of a model (address of its manifest), which is made if need be. Returns it."""
    from mlflow.exceptions import MlflowException

    client = client_of(settings)
    version = _version(client, model) or _register(client, model, bundle)
    try:
        current = client.get_model_version_by_alias(NAME, ALIAS).version
    except MlflowException:
        current = None  # no alias yet
    if str(current) != version:
        client.set_registered_model_alias(NAME, ALIAS, version)
    return version


def _version(client: MlflowClient, model: Path) -> str | None:
    found = client.search_model_versions(f"name = '{NAME}'")
    for version in found:
        if version.tags.get(MANIFEST_TAG) == str(model):
            return str(version.version)
    return None


def _register(client: MlflowClient, model: Path, bundle: str) -> str:
    manifest = artifacts.read(model, check_files=False)
    if not client.search_registered_models(f"name = '{NAME}'"):
        client.create_registered_model(NAME, description="the click model that AdLens serves")
    run = manifest.figures.get("mlflow_run_id")
    source = f"{_artifacts_of(client, run, model)}/model" if run else model.parent.as_uri()
    tags = {
        MANIFEST_TAG: str(model),
        "recipe": str(manifest.figures.get("recipe", "")),
        "day": manifest.day,
        "bundle": bundle,
    }
    return str(client.create_model_version(NAME, source, run_id=run, tags=tags).version)


def _artifacts_of(client: MlflowClient, run: str, model: Path) -> str:
    """Raises MissingArtifact where MLflow has lost the training's run."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(run).info.artifact_uri)
    except MlflowException as error:
        raise MissingArtifact(
            f"MLflow holds no run {run}, in which {model.parent} was trained ({error}); restore MLflow's database, or "
            f"remove that folder and run the day again"
        ) from None
