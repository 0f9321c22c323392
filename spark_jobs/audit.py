"""Great Expectations: the two checkpoints, and Data Docs that need no internet."""

from __future__ import annotations

import html
import logging
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame

from contracts import paths
from contracts.days import Days
from contracts.settings import Settings
from spark_jobs import suites

_STYLE = """<style data-adlens>
body{font:14px/1.5 system-ui,sans-serif;margin:1.5em;color:#222;background:#fff}
table{border-collapse:collapse;margin:.5em 0;width:100%}th,td{border:1px solid #ccc;padding:.3em .6em;text-align:left}
nav,.navbar{background:#f4f4f4;padding:.5em}img{max-height:2em}a{color:#0645ad}pre{white-space:pre-wrap}
.badge{background:#eee;border-radius:3px;padding:0 .4em}.text-success{color:#177a2e}.text-danger{color:#b00020}
</style>"""
_REMOTE = re.compile(  # what a browser would fetch by itself; links that a person may follow stay
    r"<(?:link[^>]+href|img[^>]+src)=[\"'](?:https?:)?//[^>]*>"
    r"|<script[^>]+src=[\"'](?:https?:)?//[^>]*>\s*</script>"
    r"|url\([\"']?(?:https?:)?//[^)]*\)"
)


@dataclass(frozen=True)
class Failure:
    """One expectation that was not met: its suite, what it is called, its columns and what was found."""

    suite: str
    expectation: str
    columns: tuple[str, ...]
    wanted: str
    observed: str


class Auditor:
    """The file context under `<home>/gx`. One audit validates both frames and writes their pages."""

    def __init__(self, settings: Settings) -> None:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when Great Expectations is first imported
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        settings.home_path.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.context = gx.get_context(mode="file", project_root_dir=str(settings.home_path))
        self.context.variables.progress_bars = ProgressBarsConfig(globally=False)
        source: Any = self.context.data_sources.add_or_update_spark(name="staged", persist=False)
        self.checkpoints = {
            suites.ROWS_SUITE: self._checkpoint(source, suites.rows_suite()),
            suites.DAYS_SUITE: self._checkpoint(source, suites.days_suite(settings)),
        }

    @property
    def docs(self) -> Path:
        return paths.data_docs(self.settings) / "uncommitted" / "data_docs" / "local_site" / "index.html"

    def audit(self, days: Days, frames: dict[str, DataFrame]) -> list[Failure]:
        """What `days` fail; `frames`: suite -> its frame. A repeated audit of the same days replaces its pages."""
        from great_expectations.core.run_identifier import RunIdentifier

        name = days.start.isoformat() if len(days) == 1 else f"{days.start}_to_{days.end}"
        run = RunIdentifier(run_name=name, run_time=datetime.combine(days.start, time.min, UTC))
        failures: list[Failure] = []
        for suite, checkpoint in self.checkpoints.items():
            result = checkpoint.run(batch_parameters={"dataframe": frames[suite]}, run_id=run)
            given = [one for validated in result.run_results.values() for one in validated.results]
            failures += [_failure(suite, one) for one in given if not one.success]
            asked = len(self.context.suites.get(suite).expectations)
            if len(given) != asked or (not result.success and not failures):  # no answer is a no
                failures.append(Failure(suite, "every expectation is answered", (), str(asked), f"{len(given)}"))
        self._readable_offline()
        return failures

    def _checkpoint(self, source: Any, suite: Any) -> Any:
        import great_expectations as gx
        from great_expectations.checkpoint.actions import UpdateDataDocsAction

        asset = source.add_dataframe_asset(name=suite.name)
        batch = asset.add_batch_definition_whole_dataframe("interval")
        stored = self.context.suites.add_or_update(suite)
        validation = self.context.validation_definitions.add_or_update(
            gx.ValidationDefinition(name=suite.name, data=batch, suite=stored)
        )
        return self.context.checkpoints.add_or_update(
            gx.Checkpoint(
                name=suite.name,
                validation_definitions=[validation],
                actions=[UpdateDataDocsAction(name="data_docs")],
                result_format="BASIC",
            )
        )

    def _readable_offline(self) -> None:
        """Great Expectations' pages take style sheets and scripts from public servers; ours carry a small style, and
        the index, whose tables a script would have filled, a list of the pages."""
        for page in self.docs.parent.rglob("*.html"):
            text = page.read_text(encoding="utf-8")
            if "data-adlens" not in text:
                text = _REMOTE.sub("", text).replace("</head>", f"{_STYLE}</head>", 1)
                if page == self.docs:
                    text = re.sub(r"<body[^>]*>", lambda found: found[0] + self._listed(), text, count=1)
                page.write_text(text, encoding="utf-8")

    def _listed(self) -> str:
        """Links to every page, in each suite the newest day first."""
        root = self.docs.parent
        pages = sorted((page.relative_to(root) for page in root.rglob("*.html") if page != self.docs), reverse=True)
        links = (f'<li><a href="{page.as_posix()}">{html.escape(_title(page))}</a></li>' for page in pages)
        return f"<h1>Audits</h1><ul>{''.join(links)}</ul>"


def _title(page: Path) -> str:
    """validations/<suite>/<days>/<time>/<batch>.html, expectations/<suite>.html -> what a person looks for."""
    kind, suite, *rest = page.with_suffix("").parts
    return f"{rest[0]}: {suite}" if rest else f"{kind}: {suite}"


def _failure(suite: str, result: Any) -> Failure:
    config = result.expectation_config
    given = {name: value for name, value in config.kwargs.items() if name != "batch_id"}
    columns = tuple(given[name] for name in ("column", "column_A", "column_B") if name in given)
    columns += tuple(given.get("column_list", ()))
    limits = {n: v for n, v in given.items() if n in ("min_value", "max_value", "value_set") and v is not None}
    wanted = config.notes or config.type
    if limits:
        wanted += " (" + ", ".join(f"{name} {value}" for name, value in limits.items()) + ")"
    found = result.result or {}
    if "unexpected_count" in found:
        some = ", ".join(str(value) for value in (found.get("partial_unexpected_list") or [])[:3])
        observed = f"{found['unexpected_count']} of {found.get('element_count')} rows"
        observed += f", e.g. {some}" if some else ""
    else:
        observed = str(found or (result.exception_info or {}))[:500]
    return Failure(suite, config.type, columns, str(wanted), observed)
