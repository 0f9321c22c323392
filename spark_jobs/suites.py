"""Declared rules (contracts/rules.py) -> a Great Expectations suite a table, on one row a day of figures and bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from contracts import rules
from contracts.settings import LandingSettings
from spark_jobs import figures

if TYPE_CHECKING:
    from pandas import DataFrame


def bound_column(rule: rules.DayRule) -> str:
    """The column of the day's own bound, for a rule whose bound is no constant."""
    return f"bound of {rule.name}"


def day_frame(
    known: figures.Known, days: Sequence[str], suites: Mapping[str, rules.Suite], settings: LandingSettings
) -> DataFrame:
    """A row a day: `day`, every figure, and a column for each rule whose bound the trailing week gives."""
    import pandas

    rows: list[dict[str, float | None]] = []
    for day in days:
        row = {name: one.value for name, one in known[day].items()}
        limits = figures.bounds(known, day, suites, settings)
        trailing = [rule for suite in suites.values() for rule in suite.day if rule.bound.trails]
        rows.append(row | {bound_column(rule): limits[rule.name] for rule in trailing})
    frame = pandas.DataFrame(rows, dtype="float64")
    frame.insert(0, "day", list(days))
    return frame


def expectations(suite: rules.Suite, settings: LandingSettings) -> Any:
    """The table's suite. A bound that is null does not hold (too few days before), nor does a figure that is null."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    def said(rule: rules.AnyRule | rules.DayRule) -> dict[str, Any]:
        severity = "critical" if rule.level == "stop" else "warning"
        return {"notes": rule.words, "severity": severity, "meta": {"rule": rule.name, "level": rule.level}}

    made = gx.ExpectationSuite(name=suite.table)
    asked: list[Any] = [
        gxe.ExpectColumnValuesToBeBetween(column=rules.broken(rule), max_value=0, **said(rule))
        for rule in suite.staged()
    ]
    for rule in suite.day:
        if rule.bound.trails:
            upper, lower = rule.figure, bound_column(rule)
            if rule.at_most is not None:
                upper, lower = lower, upper
            asked.append(
                gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                    column_A=upper, column_B=lower, or_equal=True, ignore_row_if="either_value_is_missing", **said(rule)
                )
            )
        else:
            limit = figures.bound_of(rule, [], settings)
            low, high = (limit, None) if rule.at_most is None else (None, limit)
            if limit is not None:  # a setting that is not set bounds nothing
                between = gxe.ExpectColumnValuesToBeBetween
                asked.append(between(column=rule.figure, min_value=low, max_value=high, **said(rule)))
    made.expectations = asked
    return made
