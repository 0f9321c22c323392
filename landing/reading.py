"""Landing files read in batches, without Spark: what is wrong with a whole file, and rows with what is wrong in each.

Text stays bytes, because ids compare by bytes and a row may hold bytes that are no text. Times become microseconds
since 1970 UTC. Row numbers begin at 1; for JSON lines they are line numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import InputError
from contracts.tables import LANDING, Column

Values = dict[str, object]
Read = tuple[int, Values, str | None]  # row number, values, what is wrong with the row's form
FITTING = {
    "string": ("string", "large_string", "string_view", "dictionary<values=string, indices=int32, ordered=0>"),
    "int": ("int32", "int16", "int8"),
    "long": ("int64", "int32"),
    "double": ("double", "float"),
}
SPELT = {"timestamp": "timestamp[us, tz=UTC]", "int": "int32", "long": "int64"}
TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})")
SAMPLE = 200  # lines of a JSON file that decide which columns it has and of which type
BATCH = 65_536


def spelt(kind: str) -> str:
    """A declared type as the files spell it."""
    return SPELT.get(kind, kind)


def find(folder: Path, source: str) -> Path:
    """The day folder's file of `source`. Raises InputError when there is none, or two."""
    held = sorted(file.name for file in folder.iterdir())
    found = [file for kind in ("parquet", "jsonl") if (file := folder / f"{source}.{kind}").is_file()]
    if len(found) == 1:
        return found[0]
    if not held:
        raise InputError(f"{folder.name} is empty; wanted {', '.join(LANDING)}, each as .parquet or .jsonl")
    which = "both" if found else "neither"
    wanted = f"{source}.parquet and {source}.jsonl"
    raise InputError(f"{folder.name} holds {which} of {wanted}; wanted one of them; found {', '.join(held)}")


def check_columns(path: Path, source: str) -> list[str]:
    """Raises InputError when the file cannot be opened, lacks a column that may not be null or has one of another type.

    Returns the nullable columns that it lacks (of JSON lines, that the first ones lack): they are read as null.
    """
    wanted = {column.name: column.type for column in LANDING[source]}
    found = _parquet_types(path) if path.suffix == ".parquet" else _json_types(path, LANDING[source])
    if found is None:
        return []
    wrong = [f"column {one.name} is missing" for one in LANDING[source] if one.name not in found and not one.nullable]
    wrong += [
        f"column {name} is {found[name]}, wanted {spelt(kind)}"
        for name, kind in wanted.items()
        if name in found and not _fits(kind, found[name])
    ]
    if wrong:
        lists = [", ".join(f"{name} {spelt(kind)}" for name, kind in one.items()) for one in (wanted, found)]
        raise InputError(f"{path.name}: {'; '.join(wrong)}. Wanted: {lists[0]}. Found: {lists[1]}")
    return [name for name in wanted if name not in found]


def rows(path: Path, source: str) -> Iterator[Read]:
    """Every row, with a value or None for each declared column. The file must have passed `check_columns`.

    Raises InputError when it breaks off in the middle.
    """
    read = _parquet_rows(path, LANDING[source]) if path.suffix == ".parquet" else _json_rows(path, LANDING[source])
    for number, values, wrong in read:
        for column in LANDING[source]:
            if values.setdefault(column.name, None) == b"":
                values[column.name] = None
            if wrong is None and not column.nullable and values[column.name] is None:
                wrong = f"{column.name} is missing or empty"
        yield number, values, wrong


def _parquet_types(path: Path) -> dict[str, str]:
    try:
        return {field.name: str(field.type) for field in pq.read_schema(path)}
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path.name} is no complete Parquet file ({_short(error)}); land it again") from None


def _parquet_rows(path: Path, columns: tuple[Column, ...]) -> Iterator[Read]:
    first = 1
    try:
        with pq.ParquetFile(path) as file:
            there = [column for column in columns if column.name in file.schema_arrow.names]
            for batch in file.iter_batches(BATCH, columns=[column.name for column in there]):
                lists = {column.name: _plain(batch.column(column.name), column.type) for column in there}
                for at in range(batch.num_rows):
                    values: Values = {name: values[at] for name, values in lists.items()}
                    yield first + at, values, _not_text(values)
                first += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        where = f"breaks off after row {first - 1}"
        raise InputError(
            f"{path.name} is no complete Parquet file, it {where} ({_short(error)}); land it again"
        ) from None


def _plain(array: pa.Array, kind: str) -> list[object]:
    if kind == "timestamp":
        return array.cast(pa.timestamp("us", array.type.tz)).cast(pa.int64()).to_pylist()
    if kind == "string":
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        return array.cast(pa.large_binary()).to_pylist()
    return array.to_pylist()


def _not_text(values: Values) -> str | None:
    for name, value in values.items():
        if isinstance(value, bytes):
            try:
                value.decode()
            except UnicodeDecodeError:
                return f"{name} is not UTF-8 text"
    return None


def _json_rows(path: Path, columns: tuple[Column, ...]) -> Iterator[Read]:
    with path.open("rb") as handle:
        for number, line in enumerate(handle, 1):
            if line.strip():
                values, wrong = _json_row(line, columns)
                yield number, values, wrong


def _json_row(line: bytes, columns: tuple[Column, ...]) -> tuple[Values, str | None]:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError:
        return {}, "not UTF-8 text"
    except ValueError:
        return {}, "malformed JSON line"
    if not isinstance(row, dict):
        return {}, "malformed JSON line"
    values: Values = {}
    for column in columns:
        value = row.get(column.name)
        if value is None or (column.type == "timestamp" and value == ""):
            continue
        if column.type == "timestamp":
            if (moment := _moment(value)) is None:
                return values, f"{column.name} is no time"
            values[column.name] = moment
        elif column.type == "string":
            text = value if isinstance(value, str) else json.dumps(value)
            values[column.name] = text.encode(errors="replace")
        elif not _json_fits(column.type, value):
            return values, "malformed JSON line"
        else:
            values[column.name] = value
    return values, None


def _moment(value: object) -> int | None:
    """Microseconds of ISO 8601 text with `Z` or an offset; None where it is no such text."""
    if not isinstance(value, str) or not TIME.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return round((moment - datetime.fromisoformat("1970-01-01T00:00:00Z")).total_seconds() * 1_000_000)


def _json_types(path: Path, columns: tuple[Column, ...]) -> dict[str, str] | None:
    """Column -> declared type where its values fit, else what they are. None: no line from which to tell."""
    sample: list[dict[str, object]] = []
    with path.open("rb") as handle:
        for _, line in zip(range(SAMPLE), handle, strict=False):
            try:
                row = json.loads(line)
            except ValueError:  # such a line is set aside, one by one
                continue
            if isinstance(row, dict):
                sample.append(row)
    if not sample:
        return None
    declared = {column.name: column.type for column in columns}
    found: dict[str, str] = {}
    for name in dict.fromkeys(name for row in sample for name in row):
        values = [row[name] for row in sample if row.get(name) is not None]
        kind = declared.get(name)
        good = kind is None or not values or any(_json_fits(kind, value) for value in values)
        is_now = "|".join(sorted({type(value).__name__ for value in values})) or "null"
        found[name] = kind if good and kind else is_now
    return found


def _json_fits(kind: str, value: object) -> bool:
    if kind == "timestamp":
        return _moment(value) is not None
    wanted = {"string": (str,), "int": (int,), "long": (int,), "double": (int, float)}[kind]
    return isinstance(value, wanted) and not isinstance(value, bool)


def _fits(kind: str, found: str) -> bool:
    if kind == found:
        return True
    return re.match(r"timestamp\[(ms|us)", found) is not None if kind == "timestamp" else found in FITTING[kind]


def _short(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:120]
