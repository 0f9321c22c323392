"""MLflow's registered model of a serving slot: a version for each trained model that reached the gate.

`challenger` is the newest of them, `champion` what is served, or what somebody asks for: who moves it makes a request
(requests.py). The tag `synced` of the registered model says which publication the alias was last made to follow,
so that a person's move can be told from an alias that a killed publisher left behind.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts import artifacts
from contracts.errors import AdLensError, InputError, MissingArtifact, PrerequisiteError
from contracts.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"
MANIFEST, SLOT, SYNCED = "manifest", "slot", "synced"
REASON, BY, FORCE = "request.reason", "request.by", "request.force"
ASKED = (REASON, BY, FORCE)  # tags that `adlens promote` leaves for whoever answers; the last says against what
EXPERIMENT, MODEL_FOLDER = "adlens", "model"  # as training.tracking has them


@dataclass(frozen=True)
class Version:
    """`tags`: as MLflow has them."""

    number: str
    run: str
    tags: dict[str, str]
    aliases: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Alias:
    """Where `champion` points, and where it was when AdLens last moved it (publication 0: never)."""

    version: str | None
    synced_publication: int
    synced_version: str | None


@contextmanager
def reached(settings: Settings) -> Iterator[MlflowClient]:
    """A client. Whatever keeps MLflow from answering becomes a PrerequisiteError: what stays, and what to do."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        if not settings.mlflow_uri:
            (settings.home_path / "mlflow").mkdir(parents=True, exist_ok=True)
        yield MlflowClient(settings.mlflow_tracking_uri)
    except AdLensError:
        raise
    except (MlflowException, OSError) as error:  # OSError: also what requests raises
        first = str(error).strip().partition("\n")[0][:300]
        raise PrerequisiteError(
            f"MLflow at {settings.mlflow_tracking_uri} does not answer ({first}); models and decisions are "
            "kept: start MLflow or correct ADLENS_MLFLOW_URI, then run the same again"
        ) from None


def client_of(settings: Settings) -> MlflowClient:
    with reached(settings) as client:
        return client


def versions(settings: Settings, tags: dict[str, str] | None = None) -> list[Version]:
    """Of this slot, newest first; none before the first model."""
    wanted = [f"name = '{settings.slot}'"] + [f"tags.{name} = '{value}'" for name, value in (tags or {}).items()]
    with reached(settings) as client:
        if not client.search_registered_models(f"name = '{settings.slot}'"):
            return []
        aliases = client.get_registered_model(settings.slot).aliases
        found = client.search_model_versions(" and ".join(wanted))
        return [_told(one, aliases) for one in sorted(found, key=lambda one: -int(one.version))]


def version(settings: Settings, number: str) -> Version:
    """Raises InputError for one that is not of this slot."""
    slot, _, own = number.rpartition(":")
    if slot and slot != settings.slot:
        raise InputError(f"version {own} is of `{slot}`; this home serves the slot `{settings.slot}` (ADLENS_SLOT)")
    known = versions(settings)
    for one in known:
        if one.number == own:
            return one
    listed = ", ".join(one.number for one in known[:10]) or "none yet"
    raise InputError(f"`{settings.slot}` has no version {own}; known, newest first: {listed} (adlens models list)")


def model_of(found: Version, settings: Settings) -> Path:
    """Address of a version's model's manifest. Raises InputError where AdLens did not register it for this slot."""
    slot, address = found.tags.get(SLOT), found.tags.get(MANIFEST)
    if slot != settings.slot or not address:
        whose = f"it is a model of the slot `{slot}`" if slot else "AdLens did not register it"
        raise InputError(
            f"version {found.number} of `{settings.slot}` cannot be served here: {whose}; choose one of "
            "`adlens models list`, or release its day again"
        )
    return Path(address)


def register(model: Path, candidate: Path | None, tags: dict[str, str], settings: Settings) -> str:
    """The version of a model (address of its manifest), made if need be; `challenger` points at it. Returns its number.

    `candidate`: the bundle that the gate scored; it goes into the model's MLflow run, so that
    `mlflow.pyfunc.load_model` can score with it.
    """
    with reached(settings) as client:
        known = versions(settings, {MANIFEST: str(model)})
        number = known[0].number if known else _made(client, model, candidate, settings)
        for name, value in tags.items():
            client.set_model_version_tag(settings.slot, number, name, value)
        newest = max(int(one.number) for one in versions(settings))
        if int(number) == newest:
            client.set_registered_model_alias(settings.slot, CHALLENGER, number)
        return number


def _made(client: MlflowClient, model: Path, candidate: Path | None, settings: Settings) -> str:
    manifest = artifacts.read(model, check_files=False)
    if not client.search_registered_models(f"name = '{settings.slot}'"):
        client.create_registered_model(settings.slot, description="the click models of a serving slot of AdLens")
    run = manifest.figures.get("mlflow_run_id") or _run(client, manifest, settings)
    folder = _artifacts_of(client, run, model)
    if candidate is not None:
        from release.versions.flavour import log_bundle

        log_bundle(client, run, MODEL_FOLDER, candidate)
    tags = {
        MANIFEST: str(model), SLOT: settings.slot, "day": manifest.day,
        "recipe": str(manifest.figures.get("recipe", "")),
    }  # fmt: skip
    made = client.create_model_version(settings.slot, f"{folder}/{MODEL_FOLDER}", run_id=run, tags=tags)
    return str(made.version)


def _run(client: MlflowClient, manifest: artifacts.Manifest, settings: Settings) -> str:
    """A run for a model that was trained without one."""
    found = client.get_experiment_by_name(EXPERIMENT)
    where = None if settings.mlflow_uri else (settings.home_path / "mlflow" / "artifacts").as_uri()
    experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT, artifact_location=where)
    run = client.create_run(experiment, run_name=f"{manifest.day} {manifest.key[:8]}")
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def _artifacts_of(client: MlflowClient, run: str, model: Path) -> str:
    """Raises MissingArtifact where MLflow has lost the training's run."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(run).info.artifact_uri)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise MissingArtifact(
            f"MLflow holds no run {run}, in which {model.parent} was trained ({error}); restore MLflow's database, or "
            f"remove that folder and run the day again"
        ) from None


def begun(settings: Settings) -> bool:
    """Whether there can be anything in MLflow: its own file is made with the first model."""
    return bool(settings.mlflow_uri) or (settings.home_path / "mlflow" / "mlflow.db").is_file()


def champion(settings: Settings) -> Alias:
    with reached(settings) as client:
        if not client.search_registered_models(f"name = '{settings.slot}'"):
            return Alias(None, 0, None)
        model = client.get_registered_model(settings.slot)
        number, _, synced = model.tags.get(SYNCED, "0:").partition(":")
        at = model.aliases.get(CHAMPION)
        return Alias(str(at) if at is not None else None, int(number), synced or None)


def sync(publication: int, number: str, settings: Settings) -> None:
    """The alias follows a publication: first the alias, then the note that it has."""
    with reached(settings) as client:
        client.set_registered_model_alias(settings.slot, CHAMPION, number)
        client.set_registered_model_tag(settings.slot, SYNCED, f"{publication}:{number}")


def ask(number: str, reason: str, by: str, force: bool, base: int, settings: Settings) -> None:
    """What somebody who moves the alias in MLflow does, with a reason. `base`: the publication that serves now.

    Force comes last, and only once the alias asks: a request that was never made leaves none behind.
    """
    with reached(settings) as client:
        for name, value in ((REASON, reason), (BY, by)):
            client.set_model_version_tag(settings.slot, number, name, value)
        client.set_registered_model_alias(settings.slot, CHAMPION, number)
        client.set_model_version_tag(settings.slot, number, FORCE, bound(force, base))


def bind(number: str, force: bool, base: int, settings: Settings) -> None:
    """Notes on the version against which publication it is asked for."""
    with reached(settings) as client:
        client.set_model_version_tag(settings.slot, number, FORCE, bound(force, base))


def bound(force: bool, base: int) -> str:
    return f"{'yes' if force else 'no'}:{base}"


def base_of(found: Version) -> int:
    """The publication that a version was asked for against; -1 where its request does not say."""
    base = found.tags.get(FORCE, "").partition(":")[2]
    return int(base) if base.isdigit() else -1


def answer(number: str, tags: dict[str, str], settings: Settings) -> None:
    """Writes the answer on the version; the request is no longer one."""
    with reached(settings) as client:
        for name, value in tags.items():
            client.set_model_version_tag(settings.slot, number, name, value[:4000])
        held = client.get_model_version(settings.slot, number).tags
        for name in ASKED:
            if name in held:
                client.delete_model_version_tag(settings.slot, number, name)


def withdraw(served: str | None, publication: int, settings: Settings) -> None:
    """The alias goes back to what is served, or away where nothing is."""
    if served:
        return sync(publication, served, settings)
    with reached(settings) as client:
        client.delete_registered_model_alias(settings.slot, CHAMPION)


def _told(found: ModelVersion, aliases: dict[str, Any]) -> Version:
    own = tuple(sorted(name for name, at in aliases.items() if str(at) == str(found.version)))
    return Version(str(found.version), found.run_id or "", dict(found.tags), own, found.source or "")
