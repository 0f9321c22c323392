"""Where each thing lives under ADLENS_HOME. Tables may live elsewhere (an object store), by setting."""

from __future__ import annotations

from pathlib import Path

from contracts.settings import Settings


def table(settings: Settings, name: str) -> str:
    """Address of a Delta table. `name` is a key of contracts.tables.TABLES."""
    root = settings.tables or str(settings.home_path / "tables")
    return f"{root.rstrip('/')}/{name}"


def images(settings: Settings) -> Path:
    """The landing folder's pictures, `<sha256>.jpg`."""
    return settings.landing_path / "images"


def artifacts(settings: Settings) -> Path:
    return settings.home_path / "artifacts"


def checkpoints(settings: Settings) -> Path:
    """Of trainings that were stopped; a finished one has none."""
    return settings.home_path / "checkpoints"


def bundles(settings: Settings) -> Path:
    return settings.home_path / "bundles"


def pointer(settings: Settings) -> Path:
    """What is served now: a JSON file that one rename replaces."""
    return settings.home_path / "serving" / "current.json"


def data_docs(settings: Settings) -> Path:
    return settings.home_path / "gx"


def data_docs_index(settings: Settings) -> Path:
    return data_docs(settings) / "uncommitted" / "data_docs" / "local_site" / "index.html"


def feature_store(settings: Settings) -> Path:
    """Folder of the Feast registry and of the SQLite online store."""
    return settings.home_path / "feast"


def jars(settings: Settings) -> Path:
    return settings.home_path / "jars"


def logs(settings: Settings) -> Path:
    return settings.home_path / "logs"
