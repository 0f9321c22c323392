"""`adlens features apply`: the tables get the columns of newly declared features, and the window's days their values.

In this order, each step safe to be killed in and to be run again: columns are added (null in all rows: whoever reads
the columns of an older set sees no change), snapshots and groups of the plan's days are built again by the stages
themselves, the registry learns the new fields, and the newest day is loaded into the online store once more. A model in
service names its own features and finds them all the while.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import SparkSession

from contracts import report
from contracts.days import Days, parse_day
from contracts.settings import Settings
from spark_jobs import delta, feast_store, feature_plan, features, groups, materialise
from spark_jobs.feature_plan import GROUPS, SNAPSHOTS, Plan


def apply(spark: SparkSession, settings: Settings) -> Plan:
    """Build what the plan names. Returns that plan; one without lacks where there was nothing to do."""
    plan = feature_plan.make(settings)
    for table in (*SNAPSHOTS, *GROUPS):
        add_columns(spark, settings, table)
    for days in ranges(plan.snapshots):
        report.write(settings, features.run(spark, settings, days))
    for days in ranges(plan.groups):
        report.write(settings, groups.run(spark, settings, days))
    feature_plan.remember_empty(settings, plan)
    feast_store.store(spark, settings)
    served = materialise.materialised(settings)
    if served is not None and (served.isoformat() in plan.snapshots or not materialise.holds_all(settings)):
        report.write(settings, materialise.run(spark, settings, Days(served, served + timedelta(days=1))))
    return plan


def add_columns(spark: SparkSession, settings: Settings, table: str) -> list[str]:
    """Add the declared columns that the table does not have, each at its declared place. Returns them."""
    missing = feature_plan.absent(settings, table)
    wanted = feature_plan.columns(settings, table)
    order = list(wanted)
    for name in missing:  # one commit each; a place is named by the column before it, which is there by then
        before = order[order.index(name) - 1].rpartition(".")[2]
        spark.sql(
            f"ALTER TABLE delta.`{delta.address(settings, table)}` ADD COLUMNS ({name} {wanted[name]} AFTER {before})"
        )
    return missing


def ranges(days: Sequence[str]) -> list[Days]:
    """The days as intervals without gaps."""
    found: list[Days] = []
    for day in map(parse_day, sorted(days)):
        if found and found[-1].end == day:
            found[-1] = Days(found[-1].start, _after(day))
        else:
            found.append(Days(day, _after(day)))
    return found


def _after(day: date) -> date:
    return day + timedelta(days=1)
