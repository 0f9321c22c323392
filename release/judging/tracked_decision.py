"""The decision in MLflow, on the run in which the challenger was trained: verdict, figures, pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contracts import artifacts
from contracts.errors import MissingArtifact
from contracts.settings import Settings
from release.judging.decisions import read_decision
from release.versions.registry import client_of

FOLDER = "gate"


def track(address: Path, settings: Settings) -> str:
    """Writes it once. Returns the MLflow run, or "" for a model that no run of MLflow knows. Raises MissingArtifact
    where MLflow does not take it: the decision stands all the same."""
    decision = read_decision(address)
    run = artifacts.read(decision["model"], check_files=False).figures.get("mlflow_run_id")
    if not run:
        return ""
    from mlflow.exceptions import MlflowException

    try:
        return _written(str(run), address, decision, settings)
    except MlflowException as error:
        raise MissingArtifact(
            f"MLflow does not take the decision {address} for the run {run} ({error}); once it is reachable again: "
            f"adlens publish --decision {address}"
        ) from None


def _written(run: str, address: Path, decision: dict[str, Any], settings: Settings) -> str:
    client, day, key = client_of(settings), decision["day"], artifacts.read(address).key
    if client.get_run(run).data.tags.get(f"gate.{day}.key") == key:
        return run
    client.set_tag(run, f"gate.{day}.verdict", decision["verdict"])
    client.set_tag(run, f"gate.{day}.reasons", "; ".join(decision["reasons"])[:5000])
    for name, value in decision["figures"].get("challenger", {}).items():
        if value is not None:
            client.log_metric(run, f"gate_{name}", value)
    for file in sorted(address.parent.iterdir()):
        if file.suffix in (".png", ".json"):
            client.log_artifact(run, str(file), f"{FOLDER}/{day}")
    client.set_tag(run, f"gate.{day}.key", key)  # last: a run that was cut short is written again
    return run
