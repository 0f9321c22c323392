"""Reading and writing the Delta tables: the one place that does either.

A write replaces whole days and commits nothing for a day whose rows are already there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from delta import exceptions
from pyspark.errors import AnalysisException
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from contracts import paths
from contracts.commits import Cause
from contracts.delta_log import days_of, live_files
from contracts.errors import DamagedArtifact, MissingArtifact
from contracts.settings import Settings
from contracts.tables import STAGED, TABLES, Table, declared
from spark_jobs import schema
from spark_jobs.conflicts import persevere
from spark_jobs.seen import Seen

# table -> constraint's name -> SQL. Delta refuses a commit that breaks one.
CHECKS: dict[str, dict[str, str]] = {
    "impressions": {"label_is_binary": "label IN (0, 1)"},
}
BY_FEATURES = ("user_features", "ad_features", "user_groups", "ad_groups")
Fingerprint = tuple[int, int, int]  # rows, sums of the upper and of the lower halves of the rows' hashes


@dataclass(frozen=True)
class WriteResult:
    """`rows`: in all the days asked for; `version`: of the table afterwards; `changed_days`: what was rewritten;
    `day_rows`: rows by day, days without rows left out."""

    rows: int
    version: int
    changed_days: list[str]
    day_rows: dict[str, int] = field(default_factory=dict)


def declaration(name: str, settings: Settings | None = None) -> Table:
    """The table's declaration; that of a snapshot or of groups follows the settings, which must be given for them.

    Raises KeyError for a table that nobody declared.
    """
    if settings is not None:
        return declared(settings)[name]
    if name in BY_FEATURES:
        raise KeyError(f"{name}: its columns follow the setting feature_sets; declaration(name, settings)")
    return TABLES[name]


def address(settings: Settings, name: str, staged: bool = False) -> str:
    return paths.table(settings, f"{STAGED}/{name}" if staged else name)


def exists(settings: Settings, name: str, staged: bool = False) -> bool:
    from deltalake import DeltaTable

    return bool(DeltaTable.is_deltatable(address(settings, name, staged)))


def version(settings: Settings, name: str, staged: bool = False) -> int:
    """The table's newest version. Raises MissingArtifact when there is no such table."""
    from deltalake import DeltaTable

    if not exists(settings, name, staged):
        raise MissingArtifact(_missing(settings, name, staged))
    return int(DeltaTable(address(settings, name, staged)).version())


def read(
    spark: SparkSession, settings: Settings, name: str, days: Sequence[str] | None = None, staged: bool = False
) -> DataFrame:
    """The rows of some days (None: all), in the declared columns. Raises MissingArtifact when there is no table."""
    if not exists(settings, name, staged):
        raise MissingArtifact(_missing(settings, name, staged))
    there = spark.read.format("delta").load(address(settings, name, staged))
    frame = schema.as_declared(there, declaration(name, settings))
    return frame if days is None else frame.where(F.col("day").isin(list(days)))


def create(spark: SparkSession, settings: Settings, name: str) -> None:
    """The empty table, unless it is there."""
    table, where = declaration(name, settings), address(settings, name)
    persevere(lambda: _create(spark, settings, table, where, staged=False), name)


def built_days(settings: Settings, name: str, staged: bool = False) -> set[str]:
    """Days of which the table holds rows; empty where there is no table."""
    return days_of(address(settings, name, staged))


def fingerprints(frame: DataFrame) -> dict[str, Fingerprint]:
    """Day -> the fingerprint of its rows."""
    return {str(day): found for (day,), found in sums(hashed(frame), "day").items()}


def hashed(frame: DataFrame) -> DataFrame:
    """`day` and `h`, a hash of all columns, of each row."""
    return frame.select("day", _row_hash(frame.schema).alias("h"))


def sums(hashes: DataFrame, *by: str) -> dict[tuple[object, ...], Fingerprint]:
    """Of hashes `h`, by some columns: their number and two sums that no order changes (64 bits hold 2^31 of them)."""
    upper, lower = F.shiftright("h", 32), F.col("h").bitwiseAND(F.lit(0xFFFFFFFF))
    found = hashes.groupBy(*by).agg(F.count(F.lit(1)).alias("n"), F.sum(upper).alias("u"), F.sum(lower).alias("l"))
    return {tuple(row[name] for name in by): (row["n"], row["u"], row["l"]) for row in found.collect()}


def row_counts(settings: Settings, name: str, days: Sequence[str], staged: bool = False) -> dict[str, int]:
    """Day -> rows, from Delta's log alone; days without rows left out."""
    from deltalake import DeltaTable

    counts: dict[str, int] = {}
    if exists(settings, name, staged):
        for one in live_files(DeltaTable(address(settings, name, staged))):
            if one.day is not None and one.day in days:
                counts[one.day] = counts.get(one.day, 0) + (one.rows or 0)
    return dict(sorted(counts.items()))


def write_days(
    spark: SparkSession, settings: Settings, name: str, frame: DataFrame, days: Sequence[str], staged: bool = False,
    kept: bool = False, cause: Cause | None = None, seen: Seen | None = None,
) -> WriteResult:  # fmt: skip
    """Make the table's `days` equal to `frame`, in one commit, or in none where they already are.

    `frame` holds rows of `days` only, laid out as its files shall be: a task writes one file of each day that it holds
    (spark_jobs.slices). A day without rows becomes empty. `kept`: what the frame holds of days that are there already
    is cheaper to compute twice than to cache (cached before, or a plain read). `cause` becomes the commit's message.
    `seen`: what the frame was made from, by a run that says so in its `cause`; a write that meets another's is made
    again only if that still stands.
    Raises DamagedArtifact for columns that are not the declared ones, for rows of other days, and if `seen` is past.
    """
    table = declaration(name, settings)
    frame = _conformed(table, frame)
    where = address(settings, name, staged)
    persevere(lambda: _create(spark, settings, table, where, staged), name)

    def replace() -> tuple[list[str], list[str]]:
        """The days that were written, and those that had rows before."""
        present = sorted(built_days(settings, name, staged) & set(days))
        if present:
            there = read(spark, settings, name, present, staged)
            return _compared(frame, there, where, days, kept, cause, present, seen), present
        if kept and frame.isEmpty():
            return [], present
        _overwrite(frame, where, days, cause.message(days) if cause else None, seen)  # nothing to compare with
        return list(days), present

    changed, present = persevere(replace, name)
    by_day = row_counts(settings, name, days, staged)
    changed = [day for day in changed if day in by_day or day in present]
    return WriteResult(sum(by_day.values()), version(settings, name, staged), changed, by_day)


def _compared(
    frame: DataFrame, there: DataFrame, where: str, days: Sequence[str], kept: bool, cause: Cause | None,
    present: Sequence[str], seen: Seen | None,
) -> list[str]:  # fmt: skip
    """Overwrites the days whose rows are others than those that are there; returns them. Of a new day's rows one is
    looked at, so that all are computed only to be written."""
    frame, fresh = frame if kept else frame.persist(), F.col("day").isin(sorted(set(days) - set(present)))
    try:
        looked_at = frame.where(~fresh).unionByName(frame.where(fresh).limit(1))
        new, old = fingerprints(looked_at), fingerprints(there)
        _refuse_other_days(set(new) - set(days), days)
        same = [day for day in present if new.get(day) == old.get(day)]
        changed = sorted(set(days) - set(same)) if new != old else []
        if changed:
            message = cause.message(changed, present) if cause else None
            _overwrite(frame.where(~F.col("day").isin(same)), where, changed, message, seen)
        return changed
    finally:
        if not kept:
            frame.unpersist()


def _overwrite(
    frame: DataFrame, where: str, days: Sequence[str], message: str | None, seen: Seen | None = None
) -> None:
    wanted = ", ".join(f"'{day}'" for day in days)
    options = {"replaceWhere": f"day IN ({wanted})"} | ({"userMetadata": message} if message else {})
    options |= seen.turn(where) if seen else {}
    try:
        frame.write.format("delta").mode("overwrite").options(**options).save(where)
    except AnalysisException as error:
        if "REPLACE_WHERE" not in (error.getCondition() or ""):
            raise
        found = {row["day"] for row in frame.select("day").distinct().collect()}
        _refuse_other_days(found - set(days), days)
        raise
    if seen and not seen.committed(where):
        raise exceptions.ConcurrentTransactionException(f"another run wrote {where} in the same moment")


def _refuse_other_days(other: set[str], days: Sequence[str]) -> None:
    if other:
        raise DamagedArtifact(f"rows of {', '.join(sorted(other))} in a write of {', '.join(days)}")


def _missing(settings: Settings, name: str, staged: bool) -> str:
    return (
        f"no Delta table at {address(settings, name, staged)}; "
        f"run {declaration(name, settings).writer} for the day first (see `adlens --help`)"
    )


def _row_hash(schema: StructType) -> SparkColumn:
    """A bigint per row. Null and absence are told apart, which xxhash64 alone does not do."""
    parts: list[SparkColumn] = []
    for one in schema.fields:
        column = F.col(one.name)
        if one.dataType.typeName() in ("array", "struct"):
            column = column.cast("string")
        parts += [column, F.isnull(column)]
    return F.xxhash64(*parts)


def _conformed(table: Table, frame: DataFrame) -> DataFrame:
    """The frame with its columns in the declared order. Raises DamagedArtifact when they are others."""
    leaked = sorted(set(frame.columns) & set(table.never))
    if leaked:
        raise DamagedArtifact(f"table {table.name} must never hold {', '.join(leaked)}")
    wanted = {one.name: one.dataType.simpleString() for one in schema.declared(table.ddl).fields}
    found = {one.name: one.dataType.simpleString() for one in frame.schema.fields}
    if wanted != found:
        raise DamagedArtifact(
            f"table {table.name} is declared as {_listed(wanted)}; found {_listed(found)}; "
            f"different: {_listed(dict(set(wanted.items()) ^ set(found.items())))}"
        )
    return frame.select(*table.names())


def _listed(columns: dict[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())


def _create(spark: SparkSession, settings: Settings, table: Table, where: str, staged: bool) -> None:
    """The empty table with its constraints, unless it is there; finishes one whose making was interrupted, and adds
    columns that were declared since."""
    from deltalake import DeltaTable

    if not exists(settings, table.name, staged):
        columns = ", ".join(
            f"`{c.name}` {c.type}{'' if c.nullable else ' NOT NULL'} COMMENT '{c.meaning.replace(chr(39), chr(8217))}'"
            for c in table.columns
        )
        spark.sql(
            f"CREATE TABLE IF NOT EXISTS delta.`{where}` ({columns}) USING DELTA "
            f"PARTITIONED BY ({', '.join(table.partition)}) TBLPROPERTIES ({schema.properties(settings)})"
        )
    else:
        schema.evolve(spark, table, where)
    checks = CHECKS.get(table.name, {})
    if checks:
        there = DeltaTable(where).metadata().configuration
        for check, rule in checks.items():
            if f"delta.constraints.{check}" not in there:
                spark.sql(f"ALTER TABLE delta.`{where}` ADD CONSTRAINT {check} CHECK ({rule})")
