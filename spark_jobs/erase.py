"""Removing a person from the Delta tables, staged twins included. What goes from a table follows from its columns:

    user_id             rows of the user
    row, original       quarantined and released rows that name the user or one of the user's impressions
    impression_id       (without user_id) clicks of the user's impressions
    array of structs    the user's entries; a group that is then empty goes too

The impressions themselves go last, the staged ones after the published: all else is found through them, so a run that
was killed finds it again. Delta's log gets the id's hash only. Deleted rows stay in old files, for readers of old
versions, until maintenance removes these.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import reduce

from deltalake import DeltaTable
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StructType

from contracts import erasures, paths
from contracts.commits import Cause
from contracts.days import Days
from contracts.settings import Settings
from contracts.tables import STAGED, TABLES, Table, group_tables
from spark_jobs import delta, maintain, schema
from spark_jobs.caching import cached
from spark_jobs.forgotten import CLICK, of_persons
from spark_jobs.small_frames import small_frame

STAGE = "erase"
WORDS = r"""[\s"',:{}\[\]]+"""


@dataclass
class Traces:
    """Where the person is: table -> day -> rows (groups where a table holds groups); the person's impression ids."""

    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    impression_ids: set[str] = field(default_factory=set)

    def total(self, table: str) -> int:
        return sum(self.rows.get(table, {}).values())


class Person:
    """One user, looked for in the tables of these settings. Memory: one line for each of the user's impressions."""

    def __init__(self, spark: SparkSession, settings: Settings, user_id: str, until: ExitStack) -> None:
        self.spark, self.settings, self.user_id = spark, settings, user_id
        self.hash = erasures.person_of(user_id)
        self.tables = [name for name in maintain.tables(settings) if _personal(name)]
        self.theirs = cached(self._impressions(), until)

    def find(self) -> Traces:
        """One query over all tables, and one for the impressions' ids."""
        parts = [self.matching(name).select(F.lit(name).alias("name"), "day") for name in self.tables]
        if not parts:
            return Traces()
        together = reduce(DataFrame.unionByName, parts)
        traces = Traces()
        for row in together.groupBy("name", "day").count().collect():
            traces.rows.setdefault(row["name"], {})[row["day"]] = row["count"]
        ids = self.theirs.select("impression_id").distinct().toLocalIterator()
        traces.impression_ids = {row["impression_id"] for row in ids}
        return traces

    def matching(self, name: str) -> DataFrame:
        """The rows of a table in which the person is."""
        table, frame = _declaration(name), self._read(name)
        if "user_id" in table.names():
            return frame.where(F.col("user_id") == self.user_id)
        if "row" in table.names():
            return frame.join(self._set_aside(table, frame), list(table.key), "left_semi")
        if "impression_id" in table.names():
            return frame.join(self._clicks(frame), list(CLICK), "left_semi")
        return frame.where(F.exists(_entries(table), lambda one: one["user_id"] == self.user_id))

    def remove(self, name: str, days: list[str]) -> None:
        """In one commit, or two where some groups are hers alone. `days`: those that `find` told."""
        table, where = _declaration(name), paths.table(self.settings, name)
        span = Days(date.fromisoformat(days[0]), date.fromisoformat(days[-1]) + timedelta(days=1))
        inside = f"day IN ({', '.join(repr(day) for day in days)})"
        with maintain.message(self.spark, Cause(STAGE, span, "a person was erased").message(days, days)):
            if "user_id" in table.names():
                self.spark.sql(f"DELETE FROM delta.`{where}` WHERE {inside} AND sha2(user_id, 256) = '{self.hash}'")
            elif {"row", "impression_id"} & set(table.names()):
                key = table.key if "row" in table.names() else CLICK
                self.matching(name).select(*key).distinct().createOrReplaceTempView("adlens_doomed")
                same = " AND ".join(f"kept.{one} <=> doomed.{one}" for one in key)
                self.spark.sql(
                    f"MERGE INTO delta.`{where}` kept USING adlens_doomed doomed ON {same} AND kept.{inside} "
                    "WHEN MATCHED THEN DELETE"
                )
                self.spark.catalog.dropTempView("adlens_doomed")
            else:
                entries, hers = _entries(table), f"sha2(one.user_id, 256) = '{self.hash}'"
                # Groups of nobody else first: emptied, they would be found no more by a run that goes on from there.
                self.spark.sql(
                    f"DELETE FROM delta.`{where}` WHERE {inside} AND size({entries}) > 0 "
                    f"AND forall({entries}, one -> coalesce({hers}, false))"
                )
                self.spark.sql(
                    f"UPDATE delta.`{where}` SET {entries} = filter({entries}, one -> NOT coalesce({hers}, false)) "
                    f"WHERE {inside} AND exists({entries}, one -> {hers})"
                )

    def _read(self, name: str) -> DataFrame:
        return delta.read(self.spark, self.settings, *_named(name))

    def _names_person(self, table: Table) -> SparkColumn:
        """Of a quarantined or released row: one of the words of a text as it landed is the id."""
        named = F.lit(False)
        for text in _texts(table):
            said = F.array_contains(F.split(text, WORDS), self.user_id)
            named = named | said | F.coalesce(F.get_json_object(text, "$.user_id") == self.user_id, F.lit(False))
        return named

    def _set_aside(self, table: Table, frame: DataFrame) -> DataFrame:
        """Keys of the rows of a quarantine table that name the person, or an impression of the person's."""
        key = list(table.key)
        ids = self.theirs.select("impression_id").distinct()
        found = frame.where(self._names_person(table)).select(*key)
        for text in _texts(table):
            clicked = frame.where("source = 'clicks'")
            named = clicked.withColumn("impression_id", F.get_json_object(text, "$.impression_id"))
            found = found.unionByName(named.join(ids, "impression_id", "left_semi").select(*key))
        return found.distinct()

    def _clicks(self, frame: DataFrame) -> DataFrame:
        columns = ("day", "impression_id", "shown_at")
        theirs = self.theirs.where("shown_at IS NOT NULL").select(*columns).distinct()
        ids = theirs.select("impression_id").distinct()
        others = [
            self._read(name)
            .where(F.col("user_id") != self.user_id)
            .select(*columns)
            .join(ids, "impression_id", "left_semi")
            for name in ("impressions", f"{STAGED}/impressions")
            if name in self.tables
        ]
        if not others:
            return frame.select(*CLICK).limit(0)
        everyone = others[0].unionByName(others[1]).distinct() if len(others) == 2 else others[0]
        return of_persons(frame.select(*CLICK), theirs, everyone, self.settings)

    def _impressions(self) -> DataFrame:
        """day, impression_id, shown_at of the person's impressions, also of those that are still staged or were set
        aside (then without shown_at)."""
        empty = small_frame(self.spark, [], "day string, impression_id string, shown_at timestamp")
        for name in self.tables:
            table, frame = _declaration(name), self._read(name)
            if {"user_id", "impression_id", "shown_at"} <= set(table.names()):
                found = frame.where(F.col("user_id") == self.user_id).select("day", "impression_id", "shown_at")
                empty = empty.unionByName(found)
            elif "row" in table.names():
                aside = frame.where((F.col("source") == "impressions") & self._names_person(table))
                found = aside.select("day", F.get_json_object("row", "$.impression_id").alias("impression_id"))
                empty = empty.unionByName(found.where("impression_id IS NOT NULL"), allowMissingColumns=True)
        return empty.distinct()


def versions(settings: Settings) -> dict[str, int]:
    """Table -> its version now."""
    return {name: DeltaTable(paths.table(settings, name)).version() for name in maintain.tables(settings)}


def order(names: list[str]) -> list[str]:
    """Quarantine and clicks first, impressions last, the staged ones after the published."""
    rank = {"quarantine": 0, "clicks": 1, "impressions": 9}

    def place(name: str) -> tuple[int, bool, str]:
        return rank.get(_bare(name), 5), name.startswith(STAGED), name

    return sorted(names, key=place)


def _bare(name: str) -> str:
    return name.removeprefix(f"{STAGED}/")


def _named(name: str) -> tuple[str, None, bool]:
    return _bare(name), None, name.startswith(f"{STAGED}/")


def _declaration(name: str) -> Table:
    return (TABLES | group_tables())[_bare(name)]  # where a person is does not depend on the features


def _texts(table: Table) -> list[str]:
    """Columns that hold a whole row as text."""
    return [name for name in ("row", "original") if name in table.names()]


def _personal(name: str) -> bool:
    """Whether a person can be in the table."""
    if name in (erasures.TABLE, maintain.VISUAL_TABLE):
        return False
    table = _declaration(name)
    return bool({"user_id", "row", "impression_id"} & set(table.names())) or bool(_nested(table))


def _entries(table: Table) -> str:
    return _nested(table)[0]


def _nested(table: Table) -> list[str]:
    """Columns that are arrays of structs with a user in them."""
    return [
        one.name
        for one in schema.declared(table.ddl).fields
        if isinstance(one.dataType, ArrayType)
        and isinstance(one.dataType.elementType, StructType)
        and "user_id" in one.dataType.elementType.names
    ]
