"""Whether a landing file has the declared columns: what makes the whole file unusable is told before Spark reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import InputError
from contracts.tables import LANDING, Column

TIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})$"
SAMPLE = 200  # lines of a JSON file that decide which columns it has and of which type
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "timestamp": (str,),
    "int": (int,),
    "long": (int,),
    "double": (int, float),
}


def check_file(path: Path, source: str) -> list[str]:
    """Raises InputError when the file cannot be read, lacks a column that may not be null or has one of another type.

    Returns the nullable columns that it lacks (of JSON lines, that the first ones lack).
    """
    columns = LANDING[source]
    found = _parquet_columns(path) if path.suffix == ".parquet" else _json_columns(path, columns)
    if found is None:
        return []
    wanted = {one.name: one.type for one in columns}
    missing = [one.name for one in columns if one.name not in found and not one.nullable]
    other = [name for name in wanted if name in found and not _fits(wanted[name], found[name])]
    if missing or other:
        wrong = [f"column {name} is missing" for name in missing]
        wrong += [f"column {name} is {found[name]}, wanted {_spelt(wanted[name])}" for name in other]
        raise InputError(
            f"{path}: {'; '.join(wrong)}. Wanted: {', '.join(f'{n} {_spelt(t)}' for n, t in wanted.items())}. "
            f"Found: {', '.join(f'{n} {t}' for n, t in found.items())}"
        )
    return [name for name in wanted if name not in found]


def _parquet_columns(path: Path) -> dict[str, str]:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is no complete Parquet file ({error}); land it again") from None
    return {one.name: str(one.type) for one in schema}


def _json_columns(path: Path, columns: Sequence[Column]) -> dict[str, str] | None:
    """Column -> declared type where its values fit, else what they are. None: no line from which to tell."""
    rows: list[dict[str, object]] = []
    with path.open("rb") as handle:
        for _, line in zip(range(SAMPLE), handle, strict=False):
            try:
                row = json.loads(line)
            except ValueError:  # also UnicodeDecodeError: such a line goes to quarantine
                continue
            if isinstance(row, dict):
                rows.append(row)
    if not rows:
        return None
    found: dict[str, str] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if row.get(name) is not None]
        wanted = next((one.type for one in columns if one.name == name), None)
        kinds = sorted({type(value).__name__ for value in values})
        good = wanted is None or not values or any(_json_fits(wanted, value) for value in values)
        found[name] = (wanted or "|".join(kinds)) if good else "|".join(kinds)
    return found


def _json_fits(wanted: str, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, _JSON_TYPES[wanted]):
        return False
    return wanted != "timestamp" or re.match(TIME, str(value)) is not None


def _fits(wanted: str, found: str) -> bool:
    if wanted == found:
        return True
    if wanted == "timestamp":
        return re.match(r"timestamp\[(ms|us)", found) is not None
    fitting = {
        "string": ("large_string", "string_view", "dictionary<values=string, indices=int32, ordered=0>"),
        "int": ("int32", "int16", "int8"),
        "long": ("int64", "int32"),
        "double": ("float",),
    }
    return found in fitting.get(wanted, ())


def _spelt(wanted: str) -> str:
    spelt = {"timestamp": "timestamp[us, tz=UTC]", "int": "int32", "long": "int64"}
    return spelt.get(wanted, wanted)
