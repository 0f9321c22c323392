"""Feast for the jobs: its variables from the settings, apply when something changed, materialise the newest day.

`run` is the command `materialise`. `store` gives groups.py an applied FeatureStore whose offline side is our session.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import shlex
import time
import warnings
from collections.abc import Iterator
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import yaml
from pyspark.sql import SparkSession

from contracts import paths
from contracts.artifacts import digest, write_atomically
from contracts.days import Days, day_start
from contracts.errors import MissingArtifact
from contracts.report import StageReport
from contracts.settings import Settings
from spark_jobs import delta

if TYPE_CHECKING:
    from feast import FeatureStore

STAGE = "3-materialise"
REPOSITORY = Path(__file__).resolve().parents[1] / "feature_repo"
VIEWS = ("user_features", "ad_features")
APPLIED, MATERIALISED, ENVIRONMENT, ONLINE = "applied.json", "materialised.json", "environment", "online.yaml"


def variables(settings: Settings) -> dict[str, str]:
    """What feature_repo/feature_store.yaml and definitions.py ask for."""
    home = paths.feature_store(settings)
    delay = timedelta(minutes=settings.publication_delay_minutes)
    return {
        "ADLENS_FEAST_TABLES": paths.table(settings, "").rstrip("/"),
        "ADLENS_FEAST_SETS": settings.feature_sets,
        "ADLENS_FEAST_TTL_SECONDS": str(int((timedelta(days=1) + delay).total_seconds())),
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
    home = paths.feature_store(settings)
    home.mkdir(parents=True, exist_ok=True)
    os.environ.update(variables(settings))
    os.environ.setdefault("FEAST_USAGE", "False")
    with quiet():
        from feast import FeatureStore

        opened = FeatureStore(repo_path=str(REPOSITORY))
        apply(opened, settings)
    # Feast lets backquoted names be regular expressions in our session; ours are names.
    spark.conf.set("spark.sql.parser.quotedRegexColumnNames", "false")
    return opened


def apply(opened: FeatureStore, settings: Settings) -> bool:
    """Register the definitions unless the same ones are registered. Returns whether it had to."""
    home = paths.feature_store(settings)
    state = _state(settings)
    if _read(home / APPLIED) == state and (home / "registry.db").is_file() and (home / "online.db").is_file():
        return False
    module = _definitions()
    wanted = {(type(one).__name__, one.name) for one in module.OBJECTS}
    stale: list[Any] = [
        one
        for one in _registered(opened)
        if (type(one).__name__, one.name) not in wanted
    ]
    opened.apply(module.OBJECTS, objects_to_delete=stale, partial=False)
    exported = "".join(f"export {name}={shlex.quote(text)}\n" for name, text in variables(settings).items())
    write_atomically(home / ENVIRONMENT, exported)
    write_atomically(home / ONLINE, _online_yaml())
    write_atomically(home / APPLIED, json.dumps(state, indent=2) + "\n")
    return True


def run(spark: SparkSession, settings: Settings, days: Days) -> StageReport:
    """Load S(last day of the interval) into the online store; never an older day over a newer one.

    Raises MissingArtifact when that day has no snapshot.
    """
    began = time.monotonic()
    newest = days.end - timedelta(days=1)
    for table in VIEWS:
        if newest.isoformat() not in delta.built_days(settings, table):
            raise MissingArtifact(f"table {table} holds no snapshot of {newest}; run features for the day first")
    stamp = day_start(newest + timedelta(days=1), settings.time_zone)
    said: dict[str, Any] = {
        "stage": STAGE,
        "day": newest.isoformat(),
        "versions": {table: delta.version(settings, table) for table in VIEWS},
    }
    served = materialised(settings)
    if served is not None and served > newest:
        remark = f"the online store already serves {served}; {newest} is older and was not loaded over it"
        return StageReport(**said, seconds=time.monotonic() - began, remarks=[remark])
    opened = store(spark, settings)
    rows = {t: delta.read(spark, settings, t, [newest.isoformat()]).count() for t in VIEWS}
    with quiet():
        opened.materialize(start_date=stamp, end_date=stamp, feature_views=list(VIEWS))
    spark.conf.set("spark.sql.parser.quotedRegexColumnNames", "false")
    note = {"day": newest.isoformat(), "event_timestamp": stamp.isoformat(), "rows": rows}
    write_atomically(paths.feature_store(settings) / MATERIALISED, json.dumps(note, indent=2) + "\n")
    return StageReport(
        **said, seconds=time.monotonic() - began, rows_in=sum(rows.values()), rows_out=sum(rows.values()), counts=rows
    )


def materialised(settings: Settings) -> date | None:
    """The day whose snapshot the online store serves; None before the first."""
    note = _read(paths.feature_store(settings) / MATERIALISED)
    return None if note is None else date.fromisoformat(str(note["day"]))




def _registered(opened: FeatureStore) -> list[Any]:
    """Services, views and entities in the registry; services first, for they hold the views."""
    return [*opened.list_feature_services(), *opened.list_feature_views(), *opened.list_entities()]


def _definitions() -> ModuleType:
    """feature_repo/definitions.py under a name of its own, read anew: its paths follow the variables."""
    spec = importlib.util.spec_from_file_location("adlens_feast_definitions", REPOSITORY / "definitions.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _state(settings: Settings) -> dict[str, str]:
    """Digest of all that decides what is registered."""
    root = REPOSITORY.parent
    files = (
        REPOSITORY / "definitions.py",
        REPOSITORY / "feature_store.yaml",
        *sorted((root / "contracts").glob("*feature*.py")),
        root / "contracts" / "tables.py",
    )
    texts = [file.read_text(encoding="utf-8") for file in files]
    return {"digest": digest([texts, variables(settings), version("feast")])}


def _online_yaml() -> str:
    """The configuration without its offline store: what a predictor reads, on a machine that has no Spark."""
    text = os.path.expandvars((REPOSITORY / "feature_store.yaml").read_text(encoding="utf-8"))
    config = yaml.safe_load(text)
    del config["offline_store"]
    return yaml.safe_dump(config, sort_keys=False)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        return None  # a note that cannot be read is no note: the work is done again
