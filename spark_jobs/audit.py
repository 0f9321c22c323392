"""Great Expectations: one checkpoint over the suites that a stage judges by, and Data Docs that need no internet."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from contracts import paths, rules
from contracts.days import parse_day
from contracts.settings import Settings
from spark_jobs import audit_index
from spark_jobs.figures import Known
from spark_jobs.suites import day_frame, expectations

_STYLE = r"""<style data-adlens>
body{font:14px/1.5 system-ui,sans-serif;margin:1.5em;color:#222;background:#fff}
table{border-collapse:collapse;margin:.5em 0;width:100%}th,td{border:1px solid #ccc;padding:.3em .6em;text-align:left}
nav,.navbar{background:#f4f4f4;padding:.5em}img{max-height:2em}a{color:#0645ad}pre{white-space:pre-wrap}
.badge{background:#eee;border-radius:3px;padding:0 .4em}.text-success{color:#177a2e}.text-danger{color:#b00020}
.fa-check-circle::before{content:"\2713"}.fa-times::before{content:"\2717"}.fa-exclamation-triangle::before{content:"!"}
footer,#ge-cta-footer{display:none!important}
</style>"""
_REMOTE = re.compile(  # what a browser would fetch by itself; links that a person may follow stay
    r"<(?:link[^>]+href|img[^>]+src)=[\"'](?:https?:)?//[^>]*>"
    r"|<script[^>]+src=[\"'](?:https?:)?//[^>]*>\s*</script>"
    r"|url\([\"']?(?:https?:)?//[^)]*\)"
)


KEPT_AUDITS = 90  # Data Docs show the newest; the tables of figures keep them all
LOCK = "lock"


@dataclass(frozen=True)
class Failure:
    """One expectation that was not met: suite (table), rule, its level, its columns and what it wanted."""

    suite: str
    rule: str
    level: str
    expectation: str
    columns: tuple[str, ...]
    wanted: str


class Auditor:
    """The file context under `<home>/gx`. An audit validates the days' figures; `write_docs` then makes the pages of
    the latest audit, which takes longer than the audit itself and so may go on while others use its answer.

    `name`: the checkpoint's. Each stage that judges has one, and suites of tables of its own, so that none replaces
    another's results; what they share, the project's files and the index, they write one after the other."""

    def __init__(self, settings: Settings, suites: Mapping[str, rules.Suite], name: str = "quality_figures") -> None:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when Great Expectations is first imported
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        self.settings = settings
        self.suites = suites
        self.name = name
        with self._alone():
            self.context = gx.get_context(mode="file", project_root_dir=str(settings.home_path))
            self.context.variables.progress_bars = ProgressBarsConfig(globally=False)
            self.checkpoint = self._checkpoint()
        self._latest: tuple[str, list[Any]] | None = None  # name of the run, what its pages are made of

    @property
    def docs(self) -> Path:
        return paths.data_docs_index(self.settings)

    def audit(self, days: Sequence[str], known: Known) -> list[Failure]:
        """What `days`, in order, fail, of both levels. A repeated audit of the same days replaces its results."""
        from great_expectations.core.run_identifier import RunIdentifier

        name = days[0] if len(days) == 1 else f"{days[0]}_to_{parse_day(days[-1]) + timedelta(days=1)}"
        run = RunIdentifier(run_name=name, run_time=datetime.combine(parse_day(days[0]), time.min, UTC))
        frame = day_frame(known, days, self.suites, self.settings)
        with self._alone():
            result = self.checkpoint.run(batch_parameters={"dataframe": frame}, run_id=run)
            asked = sum(len(self.context.suites.get(table).expectations) for table in self.suites)
        failures: list[Failure] = []
        answered = 0
        for validated in result.run_results.values():
            answered += len(validated.results)
            failures += [_failure(validated.suite_name, one) for one in validated.results if not one.success]
        if answered != asked or (not result.success and not failures):  # no answer is a no
            wanted = f"{asked} answers, found {answered}"
            failures.append(Failure("all", "every_rule_is_answered", "stop", "every rule is answered", (), wanted))
        self._latest = (name, list(result.run_results))
        return failures

    def write_docs(self) -> None:
        """Data Docs: the pages of the latest audit and of the suites, and the index."""
        from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier

        assert self._latest is not None, "there is no page before the first audit"
        name, results = self._latest
        suites = [ExpectationSuiteIdentifier(name=table) for table in self.suites]
        with self._alone():
            self.context.build_data_docs(resource_identifiers=[*results, *suites])
            self._forget_old()
            self._readable_offline(name)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time on this machine: stages of several days may be judged at once."""
        root = paths.data_docs(self.settings)
        root.mkdir(parents=True, exist_ok=True)
        with open(root / LOCK, "w", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield

    def _checkpoint(self) -> Any:
        import great_expectations as gx

        source: Any = self.context.data_sources.add_or_update_pandas(name=self.name)
        validations = []
        for table, suite in self.suites.items():
            batch = source.add_dataframe_asset(name=table).add_batch_definition_whole_dataframe("days")
            stored = self.context.suites.add_or_update(expectations(suite, self.settings))
            validations.append(
                self.context.validation_definitions.add_or_update(
                    gx.ValidationDefinition(name=table, data=batch, suite=stored)
                )
            )
        return self.context.checkpoints.add_or_update(
            gx.Checkpoint(name=self.name, validation_definitions=validations, result_format="BASIC")
        )

    def _forget_old(self) -> None:
        """Pages and results of all but the newest audits go: what Great Expectations does for its index grows with
        their number."""
        roots = self.docs.parent / "validations", self.docs.parents[2] / "validations"  # pages go before their results
        names = sorted({run.name for root in roots for suite in root.glob("*") for run in suite.glob("*")})
        for run in (run for root in roots for name in names[:-KEPT_AUDITS] for run in root.glob(f"*/{name}")):
            shutil.rmtree(run, ignore_errors=True)

    def _readable_offline(self, run: str) -> None:
        """Great Expectations' pages take style sheets and scripts from public servers; ours carry a small style, and
        the index, whose tables a script would have filled, a table of the pages."""
        root, results = self.docs.parent, self.docs.parents[2] / "validations"
        for page in (self.docs, *root.glob("expectations/*.html"), *root.glob(f"validations/*/{run}/**/*.html")):
            text = page.read_text(encoding="utf-8")
            if "data-adlens" not in text:
                text = _REMOTE.sub("", text).replace("</head>", f"{_STYLE}</head>", 1)
                if page == self.docs:
                    text = f"{text.partition('<body')[0]}<body>{audit_index.body(root, results)}</body></html>"
                page.write_text(text, encoding="utf-8")


def _failure(suite: str, result: Any) -> Failure:
    config = result.expectation_config
    given = {name: value for name, value in config.kwargs.items() if name != "batch_id"}
    columns = tuple(given[name] for name in ("column", "column_A", "column_B") if name in given)
    limits = {n: v for n, v in given.items() if n in ("min_value", "max_value") and v is not None}
    wanted = str(config.notes or config.type)
    if limits:
        wanted += " (" + ", ".join(f"{name} {value:g}" for name, value in limits.items()) + ")"
    meta = config.meta or {}
    return Failure(suite, meta.get("rule", config.type), meta.get("level", "stop"), config.type, columns, wanted)
