"""Declared row rules (contracts/rules.py) -> Spark predicates that are true where a row breaks them."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from contracts import rules
from contracts.errors import SettingsError
from contracts.settings import LandingSettings


def local_day(column: str, time_zone: str) -> SparkColumn:
    """The business day, a date, in which a UTC time lies."""
    return F.to_date(F.from_utc_timestamp(column, time_zone))


def broken(rule: rules.AnyRule, settings: LandingSettings) -> SparkColumn:
    """True where the row breaks the rule, false where it does not; frames hold `day` (folder) beside the columns.

    `rules.Unique` is no property of a row: spark_jobs.measures counts it.
    """
    return F.coalesce(_KINDS[type(rule)](rule, settings), F.lit(False))


def check_sql(frame: DataFrame, suite: rules.Suite, level: str) -> None:
    """Raises SettingsError for an SQL rule of the level that Spark cannot read on the frame. Runs no job."""
    from pyspark.errors import AnalysisException, ParseException

    for rule in suite.rows:
        if isinstance(rule, rules.Sql) and (rule.level == "quarantine") == (level == "quarantine"):
            try:
                kind = frame.select(F.expr(rule.where).alias("holds")).schema["holds"].dataType.simpleString()
            except (AnalysisException, ParseException) as error:
                said = str(error).strip().splitlines()[0]
                raise SettingsError(f"suite {suite.table}: rule {rule.name}: `{rule.where}`: {said}") from None
            if kind != "boolean":
                raise SettingsError(f"suite {suite.table}: rule {rule.name}: `{rule.where}` is {kind}, wanted boolean")


def _between(rule: rules.Between, settings: LandingSettings) -> SparkColumn:
    value, outside = F.col(rule.column), F.lit(False)
    if rule.at_least is not None:
        outside = outside | (value < rule.at_least)
    return outside if rule.at_most is None else outside | (value > rule.at_most)


def _not_long_before(rule: rules.NotLongBefore, settings: LandingSettings) -> SparkColumn:
    return local_day(rule.column, settings.time_zone) < F.date_sub(F.to_date("day"), rule.days)


def _not_before(rule: rules.NotBefore, settings: LandingSettings) -> SparkColumn:
    return F.col(rule.column) < F.col(rule.other) - F.make_interval(secs=F.lit(rule.slack_seconds))


def _click_in_window(rule: rules.ClickInWindow, settings: LandingSettings) -> SparkColumn:
    clicked, shown = F.col("clicked_at"), F.col("shown_at")
    window = F.make_interval(mins=F.lit(settings.attribution_window_minutes))
    inside = F.coalesce((clicked >= shown) & (clicked <= shown + window), F.lit(False))
    return F.when(F.col("label") == 1, ~inside).otherwise(clicked.isNotNull())


_KINDS: dict[type, Callable[..., SparkColumn]] = {
    rules.NotNull: lambda rule, _: F.col(rule.column).isNull(),
    rules.OneOf: lambda rule, _: ~F.col(rule.column).isin(*rule.values),
    rules.Between: _between,
    rules.InFolderDay: lambda rule, settings: local_day(rule.column, settings.time_zone) != F.to_date("day"),
    rules.NotAfterFolderDay: lambda rule, settings: local_day(rule.column, settings.time_zone) > F.to_date("day"),
    rules.NotLongBefore: _not_long_before,
    rules.NotBefore: _not_before,
    rules.ClickInWindow: _click_in_window,
    rules.Sql: lambda rule, _: ~F.expr(rule.where),
}
