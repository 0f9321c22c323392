"""What the tables lack of the declared features, and what building it would take. Starts no Spark, changes nothing.

A day lacks a column when one of its files was written without it: the files' footers say so, and so a rebuild that was
killed is resumed where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from contracts import paths
from contracts.artifacts import write_atomically
from contracts.days import parse_day, training_days
from contracts.features import built, lookback
from contracts.report import StageReport
from contracts.settings import Settings
from contracts.tables import declared
from spark_jobs import delta

if TYPE_CHECKING:
    import pyarrow as pa

SNAPSHOTS, GROUPS = ("user_features", "ad_features"), ("user_groups", "ad_groups")
REPORTS = {SNAPSHOTS: "3-features", GROUPS: "4-groups"}
EMPTY = "null_columns.json"  # what was built and is null in all of a day's rows: for that no file is written again


@dataclass(frozen=True)
class Lack:
    """One table's: columns by dotted name, and day -> (rows, bytes) of the days to rebuild."""

    table: str
    columns: tuple[str, ...]
    days: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Plan:
    """`snapshots`, `groups`: days to rebuild, in order. `reads_from`: the first log folder that the look-back reads.
    `seconds`: by stage, at the pace of the stage reports; a stage that never reported is not in it."""

    lacks: tuple[Lack, ...]
    snapshots: tuple[str, ...]
    groups: tuple[str, ...]
    reads_from: str | None
    seconds: dict[str, float]


def make(settings: Settings) -> Plan:
    """What a rebuild would do: the groups of the newest day and of the window before it, the snapshots that their
    impressions see, and the newest snapshot, which is served. Older days stay as they are."""
    snapshots, groups = _days(settings)
    lacks = [_lack(settings, table, snapshots) for table in SNAPSHOTS]
    lacks += [_lack(settings, table, groups) for table in GROUPS]
    found = tuple(lack for lack in lacks if lack.columns)
    days = {side: tuple(sorted({d for one in found if one.table in side for d in one.days})) for side in REPORTS}
    seconds = {}
    for side, stage in REPORTS.items():
        rows = sum(n for one in found if one.table in side for n, _ in one.days.values())
        pace = _seconds_a_row(settings, stage)
        if rows and pace is not None:
            seconds[stage] = rows * pace
    reads_from = None
    if days[SNAPSHOTS]:
        reach = timedelta(days=lookback(built(settings)) - 1)
        reads_from = (parse_day(days[SNAPSHOTS][0]) - reach).isoformat()
    return Plan(found, days[SNAPSHOTS], days[GROUPS], reads_from, seconds)


def columns(settings: Settings, table: str) -> dict[str, str]:
    """Dotted name -> type of the declared columns; a field of a list of structs is `<list>.element.<field>`."""
    found: dict[str, str] = {}
    for column in declared(settings)[table].columns:
        inner = {f"{column.name}.element.{name}": kind for name, kind in column.fields().items()}
        found |= inner or {column.name: column.type}
    return found


def absent(settings: Settings, table: str) -> list[str]:
    """The declared columns that the table's schema does not have; [] where there is no table: its writer makes it."""
    if not delta.exists(settings, table):
        return []
    there = set(_names(_opened(settings, table).to_pyarrow_dataset().schema))
    return [name for name in columns(settings, table) if name not in there]


def remember_empty(settings: Settings, plan: Plan) -> None:
    """After a rebuild of the plan's days: what their files still do not hold is null in all rows, and built."""
    known = _empty(settings)
    for lack in make(settings).lacks:
        for day in set(lack.days) & set(plan.snapshots if lack.table in SNAPSHOTS else plan.groups):
            of_table = known.setdefault(lack.table, {})
            of_table[day] = sorted({*of_table.get(day, []), *lack.columns})
    write_atomically(paths.feature_store(settings) / EMPTY, json.dumps(known, indent=2, sort_keys=True) + "\n")


def _days(settings: Settings) -> tuple[list[str], list[str]]:
    """Built days of the snapshots and of the groups that the window needs."""
    snapshots = delta.built_days(settings, SNAPSHOTS[0]) & delta.built_days(settings, SNAPSHOTS[1])
    groups = delta.built_days(settings, GROUPS[0]) & delta.built_days(settings, GROUPS[1])
    if groups:
        newest = max(groups)
        groups &= {*training_days(parse_day(newest), settings.window_days).texts(), newest}
    reach = 2 if settings.publication_delay_minutes else 1  # with a delay the day's first impressions see S(d-2)
    seen = {(parse_day(day) - timedelta(days=n)).isoformat() for day in groups for n in range(1, reach + 1)}
    return sorted(snapshots & {*seen, max(snapshots, default="")}), sorted(groups)


def _lack(settings: Settings, table: str, days: Sequence[str]) -> Lack:
    if not days:
        return Lack(table, (), {})
    import pyarrow.compute as pc
    from pyarrow.dataset import get_partition_keys

    opened, wanted, empty = _opened(settings, table), columns(settings, table), _empty(settings).get(table, {})
    missing: dict[str, set[str]] = {}
    for file in opened.to_pyarrow_dataset().get_fragments(filter=pc.field("day").isin(list(days))):
        day = str(get_partition_keys(file.partition_expression)["day"])
        there = {*_names(file.physical_schema), "day", *empty.get(day, [])}
        missing.setdefault(day, set()).update(name for name in wanted if name not in there)
    sizes = _sizes(opened)
    named = {name for names in missing.values() for name in names} | set(absent(settings, table))
    return Lack(
        table,
        tuple(name for name in wanted if name in named),
        {day: sizes[day] for day in sorted(missing) if missing[day]},
    )


def _opened(settings: Settings, table: str) -> Any:
    from deltalake import DeltaTable

    return DeltaTable(delta.address(settings, table))


def _sizes(opened: Any) -> dict[str, tuple[int, int]]:
    """Day -> rows, bytes, from the table's log."""
    import pyarrow as pa

    files = pa.table(opened.get_add_actions(flatten=True)).select(["partition.day", "num_records", "size_bytes"])
    summed = files.group_by("partition.day").aggregate([("num_records", "sum"), ("size_bytes", "sum")]).to_pylist()
    return {row["partition.day"]: (row["num_records_sum"] or 0, row["size_bytes_sum"]) for row in summed}


def _names(schema: pa.Schema) -> Iterator[str]:
    """Dotted names as in `columns`."""
    import pyarrow as pa

    for field in schema:
        if pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type):
            yield from (f"{field.name}.element.{inner.name}" for inner in field.type.value_type)
        else:
            yield field.name


def _seconds_a_row(settings: Settings, stage: str) -> float | None:
    """The pace of the stage in all of its reports: seconds by rows written; None before its first."""
    files = sorted((settings.home_path / "runs").glob(f"*/{stage}.json"))
    reports = [StageReport.model_validate_json(file.read_bytes()) for file in files]
    rows = sum(one.rows_out for one in reports)
    return sum(one.seconds for one in reports) / rows if rows else None


def _empty(settings: Settings) -> dict[str, dict[str, list[str]]]:
    """Table -> day -> columns."""
    file = paths.feature_store(settings) / EMPTY
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
