"""The first page of Data Docs: a row a run, newest first, a column a suite, and what the audit said as a link to its
page. Great Expectations fills its own with a script from a public server; this one is read offline."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path

SAID = {"stop": "\N{MULTIPLICATION SIGN} stopped", "warn": "! warned", "": "\N{CHECK MARK}"}  # worst first


def body(pages: Path, results: Path) -> str:
    """`pages`: Data Docs' folder, `results`: that of the validations. Cost: reads one result a page."""
    runs: dict[str, dict[str, str]] = {}
    for page in sorted(pages.glob("validations/*/*/*/*.html")):
        _, suite, run, *_ = inside = page.relative_to(pages).parts
        result = results.joinpath(*inside[1:]).with_suffix(".json")
        runs.setdefault(run, {})[suite] = _link(Path(*inside), SAID[_worst(result)])
    suites = sorted(page.stem for page in pages.glob("expectations/*.html"))
    head = "".join(f"<th>{_link(Path('expectations', f'{one}.html'), one)}</th>" for one in suites)
    rows = "".join(_row(run, runs[run], suites) for run in sorted(runs, reverse=True))
    return f"<h1>Audits</h1><table><tr><th>day</th>{head}</tr>{rows}</table>"


def _row(run: str, links: dict[str, str], suites: list[str]) -> str:
    cells = "".join(f"<td>{links.get(suite, '')}</td>" for suite in suites)
    return f"<tr><th>{html.escape(run.replace('_to_', ' to '))}</th>{cells}</tr>"


def _worst(result: Path) -> str:
    """The highest level at which the audit failed, empty where it did not."""
    failed = set(_failed(json.loads(result.read_text(encoding="utf-8"))))
    return next((level for level in SAID if level in failed), "")


def _failed(result: dict[str, list[dict[str, dict[str, dict[str, str]]]]]) -> Iterator[str]:
    for one in result["results"]:
        if not one["success"]:
            yield one["expectation_config"]["meta"]["level"]


def _link(page: Path, words: str) -> str:
    return f'<a href="{html.escape(page.as_posix())}">{html.escape(words)}</a>'
