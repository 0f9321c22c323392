"""Landing files -> Spark frames, each row with what is wrong with its form.

What makes a whole file unusable raises InputError before Spark starts on it; what is wrong with one row becomes the
row's `_reason`, and the row goes to quarantine. A column that may be null need not be there: it is read as null.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from functools import reduce
from operator import or_
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.days import Days
from contracts.errors import DamagedArtifact, InputError
from contracts.tables import LANDING, Column
from spark_jobs.landing_columns import SAMPLE, TIME, check_file

RAW, REASON, WAIVED = "_raw", "_reason", "_waived"
_FOLDER = re.compile(r"day=(\d{4}-\d{2}-\d{2})$")
TIME_FORMAT = "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"
JSON_LINE = 100  # bytes of a line, about
Stamps = dict[Path, tuple[int, int]]


def landed_days(landing: Path) -> list[str]:
    """Days that have a folder, in order. Raises InputError when the landing folder is not there or holds none."""
    if not landing.is_dir():
        raise InputError(f"no landing folder at {landing}; wanted a folder that holds day=YYYY-MM-DD/ folders")
    found = sorted(m[1] for f in landing.iterdir() if f.is_dir() and (m := _FOLDER.match(f.name)))
    if not found:
        names = ", ".join(sorted(f.name for f in landing.iterdir())[:10]) or "nothing"
        raise InputError(f"{landing} holds no day; wanted folders named day=YYYY-MM-DD, found {names}")
    return found


def find_file(landing: Path, day: str, source: str) -> Path:
    """`<landing>/day=<day>/<source>.parquet` or `.jsonl`. Raises InputError saying what is missing."""
    folder = landing / f"day={day}"
    if not folder.is_dir():
        there = landed_days(landing)
        hint = f"the first day is {there[0]}" if day < there[0] else f"the last day is {there[-1]}"
        raise InputError(f"no landing folder for {day}: {folder} does not exist; {hint}")
    held = sorted(f.name for f in folder.iterdir())
    if not held:
        wanted = ", ".join(f"{name}.parquet or .jsonl" for name in LANDING)
        raise InputError(f"the landing folder {folder} is empty; wanted {wanted}")
    found = [f for kind in ("parquet", "jsonl") if (f := folder / f"{source}.{kind}").is_file()]
    if len(found) != 1:
        what = "both" if found else "neither"
        raise InputError(
            f"{folder} holds {what} of {source}.parquet and {source}.jsonl; wanted one of them; found {', '.join(held)}"
        )
    return found[0]


def check_days(landing: Path, days: Days) -> list[str]:
    """Every day of the interval has its five files with the declared columns. Raises InputError for the first wrong.

    Returns a remark on each nullable column that files do not hold: a loss that nobody meant must be seen.
    """
    there = landed_days(landing)
    first = days.start.isoformat()
    if first < there[0]:
        raise InputError(f"{first} is before the first day of {landing}; the first landing folder is {there[0]}")
    absent: dict[str, list[str]] = {}
    for day in days.texts():
        for source in LANDING:
            path = find_file(landing, day, source)
            for name in check_file(path, source):
                where = f" in the first {SAMPLE} lines" if path.suffix == ".jsonl" else ""
                absent.setdefault(f"{path.name} without column {name}{where}, read as null", []).append(day)
    return [f"{what}: {_listed(found)}" for what, found in absent.items()]


def _listed(days: Sequence[str]) -> str:
    return ", ".join(days) if len(days) <= 3 else f"{len(days)} days, {days[0]} to {days[-1]}"


def stamps(files: Iterable[Path]) -> Stamps:
    """Of each file its bytes and the time of its last change, ns."""
    return {file: _stamp(file) for file in files}


def check_unchanged(before: Stamps) -> None:
    """Raises DamagedArtifact, which is tried again, when a file has landed again since."""
    for file, stamp in before.items():
        if not file.exists() or _stamp(file) != stamp:
            raise DamagedArtifact(f"{file} landed again while it was read; run the day again")


def _stamp(file: Path) -> tuple[int, int]:
    told = file.stat()
    return told.st_size, told.st_mtime_ns


def read(spark: SparkSession, landing: Path, source: str, days: Sequence[str]) -> DataFrame:
    """Columns `day` (folder), the declared ones, `_raw` (the row as it landed), `_reason` (null: well formed) and
    `_waived` (null: no reason is waived).

    `_raw` is null where the columns tell it (`as_landed`): a Parquet row that is well formed and holds no empty text.
    The files must have passed `check_file`. Empty text is null.
    """
    files = [find_file(landing, day, source) for day in days]
    parts = [
        reader(spark, landing, [str(f) for f in files if f.suffix == suffix], LANDING[source])
        for suffix, reader in ((".parquet", _read_parquet), (".jsonl", _read_json))
        if any(f.suffix == suffix for f in files)
    ]
    frame = parts[0] if len(parts) == 1 else parts[0].unionByName(parts[1])
    return _finished(frame.withColumn(WAIVED, F.lit(None).cast("string")), source)


def read_texts(texts: DataFrame, source: str) -> DataFrame:
    """The same columns from JSON lines that are already in a frame: `day`, `value` (a string) and `_waived`."""
    return _finished(_of_json(texts, LANDING[source]), source)


def _finished(frame: DataFrame, source: str) -> DataFrame:
    return frame.select("day", *(_emptied(one) for one in LANDING[source]), RAW, REASON, WAIVED)


def as_landed(source: str) -> SparkColumn:
    """The row's text for quarantine."""
    return F.coalesce(F.col(RAW), _json({one.name: F.col(one.name) for one in LANDING[source]}))


def rows_in_files(landing: Path, source: str, days: Sequence[str]) -> dict[str, int]:
    """Day -> rows of the file: by a Parquet file's footer exactly, of JSON about."""
    found = {day: find_file(landing, day, source) for day in days}
    return {
        day: pq.read_metadata(file).num_rows if file.suffix == ".parquet" else file.stat().st_size // JSON_LINE
        for day, file in found.items()
    }


def first_reason(*rules: tuple[SparkColumn, str]) -> SparkColumn:
    """The words of the first rule that is broken; null when none is."""
    return F.coalesce(*(F.when(broken, F.lit(words)) for broken, words in rules))


def required(source: str) -> list[tuple[SparkColumn, str]]:
    return [
        (F.col(one.name).isNull(), f"{one.name} is missing or empty") for one in LANDING[source] if not one.nullable
    ]


def day_before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


def day_after(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


def _json(columns: dict[str, SparkColumn]) -> SparkColumn:
    return F.to_json(F.struct(*(c.alias(name) for name, c in columns.items())), {"timestampFormat": TIME_FORMAT})


def _emptied(one: Column) -> SparkColumn:
    column = F.col(one.name)
    return F.nullif(column, F.lit("")).alias(one.name) if one.type == "string" else column


def _read_parquet(spark: SparkSession, landing: Path, files: list[str], columns: Sequence[Column]) -> DataFrame:
    schema = ", ".join(f"{one.name} {one.type}" for one in columns)
    texts = [one.name for one in columns if one.type == "string"]
    valid = {name: F.make_valid_utf8(name) for name in texts}
    broken = [(~F.is_valid_utf8(name), f"{name} is not UTF-8 text") for name in texts]
    altered = reduce(or_, (wrong for wrong, _ in broken), F.lit(False))
    altered = reduce(or_, (F.coalesce(F.col(name) == "", F.lit(False)) for name in texts), altered)
    raw = F.when(altered, _json({name: valid.get(name, F.col(name)) for name in (one.name for one in columns)}))
    frame = spark.read.schema(f"{schema}, day string").option("basePath", str(landing)).parquet(*files)
    frame = frame.withColumn(RAW, raw).withColumn(REASON, first_reason(*broken))
    return frame.withColumns(valid)


def _read_json(spark: SparkSession, landing: Path, files: list[str], columns: Sequence[Column]) -> DataFrame:
    read = spark.read.schema("value string, day string").option("basePath", str(landing))
    lines = read.text(files).where(F.trim("value") != "")
    return _of_json(lines, columns)


def _of_json(lines: DataFrame, columns: Sequence[Column]) -> DataFrame:
    """`lines`: `value` beside columns that stay."""
    # Times are read as text first: Spark's own reading takes `2026` or a time without an offset for a time.
    schema = ", ".join(f"{one.name} {'string' if one.type == 'timestamp' else one.type}" for one in columns)
    text = F.make_valid_utf8("value")
    beside = [name for name in lines.columns if name != "value"]
    frame = lines.select(
        *beside,
        text.alias(RAW),
        F.is_valid_utf8("value").alias("_utf8"),
        F.from_json(text, f"{schema}, _corrupt string", {"columnNameOfCorruptRecord": "_corrupt"}).alias("_row"),
    ).select(*beside, RAW, "_utf8", "_row.*")
    times = [one.name for one in columns if one.type == "timestamp"]
    rules = [(~F.col("_utf8"), "not UTF-8 text"), (F.col("_corrupt").isNotNull(), "malformed JSON line")]
    rules += [
        (F.col(name).isNotNull() & (F.col(name) != "") & F.try_to_timestamp(_iso(name)).isNull(), f"{name} is no time")
        for name in times
    ]
    frame = frame.withColumn(REASON, first_reason(*rules))
    return frame.withColumns({name: F.try_to_timestamp(_iso(name)) for name in times}).drop("_utf8", "_corrupt")


def _iso(name: str) -> SparkColumn:
    return F.when(F.col(name).rlike(TIME), F.col(name))
