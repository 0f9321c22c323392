"""A person in the files that AdLens writes for people: Data Docs and validation results, run reports, logs."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from contracts import paths
from contracts.artifacts import write_atomically
from contracts.settings import Settings

STAND_IN = "erased"
_BETWEEN = re.compile(r"[\s\"'<>,\[\](){}&;=|]+")


def erase(settings: Settings, user_id: str, impression_ids: Iterable[str]) -> dict[str, int]:
    """Files removed (`documents`) and files in which the id was replaced (`texts`)."""
    documents = _documents(paths.data_docs(settings), user_id, impression_ids)
    return {"documents": documents, "texts": _texts(settings, user_id)}


def _documents(root: Path, user_id: str, impression_ids: Iterable[str]) -> int:
    """Pages and results that mention the person or an impression of the person's go; in doubt too (an id that is also
    a common word): the next audit of the day writes its own again. The index loses its links to them."""
    wanted = {form for one in (user_id, *impression_ids) for form in _forms(one)}
    whole = _alone(user_id)
    removed = []
    for file in sorted(one for kind in ("*.json", "*.html") for one in root.rglob(kind)):
        text = file.read_text(encoding="utf-8", errors="replace")
        if file.name != "index.html" and (wanted & set(_BETWEEN.split(text)) or whole.search(text)):
            removed.append(file)
    for index in root.rglob("index.html"):
        text = index.read_text(encoding="utf-8")
        left = text
        for file in removed:
            link = re.escape(file.relative_to(index.parent).as_posix()) if file.is_relative_to(index.parent) else ""
            left = re.sub(rf'<li><a href="{link}">.*?</a></li>', "", left) if link else left
        left = whole.sub(STAND_IN, left)
        if left != text:
            write_atomically(index, left)
    for file in removed:
        file.unlink()
    return len(removed)


def _texts(settings: Settings, user_id: str) -> int:
    """In run reports and logs the id is replaced; an impression's id alone names nobody once its rows are gone."""
    home, whole, changed = settings.home_path, _alone(user_id), 0
    for folder in (home / "runs", paths.logs(settings), home / "airflow" / "logs", home / "kfp"):
        for file in sorted(one for one in folder.rglob("*") if one.is_file() and not one.is_symlink()):
            try:
                text = file.read_text(encoding="utf-8")
            except (UnicodeDecodeError, OSError):
                continue
            if not whole.search(text):
                continue
            if file.suffix == ".json":
                text = json.dumps(_replaced(json.loads(text), whole), indent=2) + "\n"
            else:
                text = whole.sub(STAND_IN, text)
            write_atomically(file, text)
            changed += 1
    return changed


def _replaced(value: Any, whole: re.Pattern[str]) -> Any:
    """JSON with the id replaced inside texts: a number that looks like it stays a number."""
    if isinstance(value, str):
        return whole.sub(STAND_IN, value)
    if isinstance(value, list):
        return [_replaced(one, whole) for one in value]
    if isinstance(value, dict):
        return {_replaced(name, whole): _replaced(one, whole) for name, one in value.items()}
    return value


def _forms(text: str) -> set[str]:
    """As it stands in plain text, in JSON and in HTML."""
    return {text, json.dumps(text)[1:-1], html.escape(text)}


def _alone(user_id: str) -> re.Pattern[str]:
    """The id where it is a word of its own, in any of its forms."""
    either = "|".join(re.escape(form) for form in sorted(_forms(user_id)))
    return re.compile(rf"(?<![\w-])(?:{either})(?![\w-])")
