"""A failed run's cause in one line, from the logs that the libraries wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_OURS = re.compile(r"\berror: (.+)")
_THEIRS = re.compile(r"\b((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception)): (.+)")


def cause(logs: Iterable[Path]) -> str:
    """The last line that one of our commands printed as `error: ...`, else the last exception named."""
    ours = theirs = None
    for log in logs:
        if not log.is_file():
            continue
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            text = _COLOUR.sub("", _message(line)).strip()
            if found := _OURS.search(text):
                ours = found[1]
            elif found := _THEIRS.search(text):
                theirs = f"{found[1]}: {found[2]}"
    return (ours or theirs or "the log does not say").strip()[:500]


def _message(line: str) -> str:
    """Airflow's task logs are JSON lines; other logs are text."""
    if line.startswith("{"):
        try:
            said = json.loads(line)
            return str(said.get("event", line)) if isinstance(said, dict) else line
        except ValueError:
            return line
    return line
