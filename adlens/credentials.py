"""The logins of the local services: made once for a home, kept in a file that only its owner can read."""

from __future__ import annotations

import json
import os
import secrets

from contracts.settings import Settings

USER = "adlens"


def load(settings: Settings) -> tuple[dict[str, str], bool]:
    """(user, password and Airflow's own secrets; whether they were made just now)."""
    where = settings.home_path / "credentials.json"
    if where.is_file():
        return dict(json.loads(where.read_text(encoding="utf-8"))), False
    made = {"user": USER, "password": secrets.token_urlsafe(12), "jwt_secret": secrets.token_urlsafe(32)}
    where.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        json.dump(made, handle)
    return made, True
