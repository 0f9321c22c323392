"""Feast for the jobs: its variables from the settings, and its registry, applied when a definition changed.

`store` gives the jobs an applied FeatureStore whose offline side is our session.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import shlex
import warnings
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import yaml
from pyspark.sql import SparkSession

from contracts import paths
from contracts.artifacts import digest, write_atomically
from contracts.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore

REPOSITORY = Path(__file__).resolve().parents[1] / "feature_repo"
VIEWS = ("user_features", "ad_features")
APPLIED, ENVIRONMENT, ONLINE = "applied.json", "environment", "online.yaml"
# In what Feast makes of a definition: when it was made, and the transformation as bytes, whose text stands beside.
PASSING = ("meta", "createdTimestamp", "lastUpdatedTimestamp", "body")


def variables(settings: Settings) -> dict[str, str]:
    """What feature_repo/feature_store.yaml and definitions.py ask for."""
    home = paths.feature_store(settings)
    delay = timedelta(minutes=settings.publication_delay_minutes)
    return {
        "ADLENS_FEAST_TABLES": paths.table(settings, "").rstrip("/"),
        "ADLENS_FEAST_SETS": settings.feature_sets,
        "ADLENS_FEAST_TTL_SECONDS": str(int((timedelta(days=1) + delay).total_seconds())),
        "ADLENS_FEAST_TIME_ZONE": settings.time_zone,
        "ADLENS_FEAST_ENGINE": settings.feast_engine,
        "ADLENS_FEAST_REGISTRY": f"sqlite:///{home / 'registry.db'}",
        "ADLENS_FEAST_ONLINE": str(home / "online.db"),
        "ADLENS_FEAST_SPARK_MASTER": settings.spark_master,
        "ADLENS_FEAST_JARS": ",".join(str(jar) for jar in sorted(paths.jars(settings).glob("*.jar"))),
    }


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Feast prints progress and warns that Spark is alpha; neither is for the screen."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("feast").setLevel(logging.ERROR)
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            yield


def store(spark: SparkSession, settings: Settings) -> FeatureStore:
    """The feature store of these settings, registered; `spark` is this thread's active session.

    Feast reads the session that is active, so that nothing leaves our own.
    """
    with quiet():
        opened = registered(settings)
    # Feast lets backquoted names be regular expressions in our session; ours are names.
    spark.conf.set("spark.sql.parser.quotedRegexColumnNames", "false")
    return opened


def registered(settings: Settings) -> FeatureStore:
    """The same for work that needs no Spark: registry and online store."""
    paths.feature_store(settings).mkdir(parents=True, exist_ok=True)
    os.environ.update(variables(settings))
    os.environ.setdefault("FEAST_USAGE", "False")
    from feast import FeatureStore

    opened = FeatureStore(repo_path=str(REPOSITORY))
    apply(opened, settings)
    return opened


def apply(opened: FeatureStore, settings: Settings) -> bool:
    """Register the definitions unless the same ones are registered. Returns whether it had to."""
    home = paths.feature_store(settings)
    objects = _definitions().OBJECTS
    state = {"digest": digest([[_plain(one) for one in objects], variables(settings), version("feast")])}
    if read_note(home / APPLIED) == state and (home / "registry.db").is_file() and (home / "online.db").is_file():
        return False
    wanted = {(type(one).__name__, one.name) for one in objects}
    stale: list[Any] = [one for one in _registered(opened) if (type(one).__name__, one.name) not in wanted]
    opened.apply(objects, objects_to_delete=stale, partial=False)
    exported = "".join(f"export {name}={shlex.quote(text)}\n" for name, text in variables(settings).items())
    write_atomically(home / ENVIRONMENT, exported)
    write_atomically(home / ONLINE, _online_yaml())
    write_atomically(home / APPLIED, json.dumps(state, indent=2) + "\n")
    return True


def differences(opened: FeatureStore) -> list[str]:
    """What the registry holds otherwise than the code declares it, as `<kind> <name>: <fields>`; [] when it is applied.

    Feast's own plan calls an untouched source changed, because it compares the times at which the two were made.
    """
    declared = {(type(one).__name__, one.name): _plain(one) for one in _definitions().OBJECTS}
    registered = {(type(one).__name__, one.name): _plain(one) for one in _registered(opened)}
    said = [f"{kind} {name}: not registered" for kind, name in sorted(set(declared) - set(registered))]
    said += [f"{kind} {name}: no longer declared" for kind, name in sorted(set(registered) - set(declared))]
    for kind, name in sorted(set(declared) & set(registered)):
        ours, theirs = declared[kind, name], registered[kind, name]
        other = sorted(field for field in {*ours, *theirs} if ours.get(field) != theirs.get(field))
        if other:
            said.append(f"{kind} {name}: {', '.join(other)}")
    return said


def _registered(opened: FeatureStore) -> list[Any]:
    """Services, views and entities in the registry; services first, for they hold the views."""
    views = [*opened.list_feature_views(), *opened.list_on_demand_feature_views()]
    entities = [one for one in opened.list_entities() if not _is_feasts(one.name)]
    return [*opened.list_feature_services(), *views, *entities]


def _definitions() -> ModuleType:
    """feature_repo/definitions.py under a name of its own, read anew: its paths follow the variables."""
    spec = importlib.util.spec_from_file_location("adlens_feast_definitions", REPOSITORY / "definitions.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _is_feasts(name: str) -> bool:
    """Whether Feast adds it by itself: an entity of no value, for a view that has none."""
    return name.startswith("__")


def _plain(one: Any) -> dict[str, Any]:
    """A definition's fields as JSON values, without what passes."""
    from google.protobuf.json_format import MessageToDict

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: kept(inner) for name, inner in sorted(value.items()) if name not in PASSING}
        if isinstance(value, list):
            return [
                kept(inner) for inner in value if not (isinstance(inner, dict) and _is_feasts(inner.get("name", "")))
            ]
        return value

    fields = kept(MessageToDict(one.to_proto().spec))
    return {name: value for name, value in fields.items() if value != []}


def _online_yaml() -> str:
    """The configuration without offline store and engine: what a predictor reads, on a machine that has no Spark."""
    text = os.path.expandvars((REPOSITORY / "feature_store.yaml").read_text(encoding="utf-8"))
    config = yaml.safe_load(text)
    del config["offline_store"], config["batch_engine"]
    return yaml.safe_dump(config, sort_keys=False)


def read_note(path: Path) -> dict[str, Any] | None:
    """A small JSON file; None where there is none."""
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        return None  # a note that cannot be read is no note: the work is done again
