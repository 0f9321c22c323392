"""A Delta table's own files, outside Spark: what its log says of the live ones, and the clean-up of old log entries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyarrow.fs import FileSystem

_VERSIONED = re.compile(r"(\d{20})\.")


@dataclass(frozen=True)
class LiveFile:
    """`day`: None in a table without that partition; `rows`: None where the file has no statistics."""

    path: str
    day: str | None
    size: int
    rows: int | None


def days_of(where: str) -> set[str]:
    """Days of which the table at that address holds rows; empty where there is no table."""
    from deltalake import DeltaTable

    if not DeltaTable.is_deltatable(where):
        return set()
    return {str(part["day"]) for part in DeltaTable(where).partitions()}


def live_files(table: DeltaTable) -> list[LiveFile]:
    """The files of the opened version. Memory: one line a file."""
    import pyarrow

    found = pyarrow.table(table.get_add_actions(flatten=True)).to_pylist()
    return [LiveFile(row["path"], row.get("partition.day"), row["size_bytes"], row.get("num_records")) for row in found]


def opened(table: DeltaTable) -> tuple[FileSystem, str]:
    """Arrow's file system and the table's folder in it."""
    from pyarrow.fs import FileSystem

    system, folder = FileSystem.from_uri(table.table_uri)
    return system, folder.rstrip("/")


def garbage(table: DeltaTable, hours: int) -> list[tuple[str, int]]:
    """(path, bytes) of files that no version needs which is younger than `hours`, leftovers of killed writes included.

    Hadoop's checksum files beside them are not listed; they go with theirs.
    """
    names = [
        name
        for name in table.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True)
        if not name.rsplit("/", 1)[-1].startswith((".", "_"))
    ]
    system, folder = opened(table)
    infos = system.get_file_info([f"{folder}/{name}" for name in names]) if names else []
    return [(name, info.size or 0) for name, info in zip(names, infos, strict=True)]


def clean_log(table: DeltaTable) -> int:
    """A checkpoint of the opened version, then away with log entries that are older than the table's retention and
    with what was kept beside them (Delta's own checksum files list file statistics too). Returns files removed."""
    system, folder = opened(table)
    before = len(_names(system, folder))
    if _last_checkpoint(system, folder) != table.version():
        table.create_checkpoint()
        before += 1
    table.cleanup_metadata()
    names = _names(system, folder)
    commits = [int(name[:20]) for name in names if name.endswith(".json") and _VERSIONED.match(name)]
    for name in names:
        versioned = _VERSIONED.match(name)
        orphan = versioned and name.endswith(".crc") and int(versioned[1]) < min(commits)
        hidden = name.startswith(".") and name.endswith(".crc") and name[1:-4] not in names
        if orphan or hidden:
            system.delete_file(f"{folder}/_delta_log/{name}")
    return max(0, before - len(_names(system, folder)))


def _names(system: FileSystem, folder: str) -> set[str]:
    return set(_listed(system, f"{folder}/_delta_log"))


def _listed(system: FileSystem, folder: str) -> Iterator[str]:
    from pyarrow.fs import FileSelector, FileType

    for info in system.get_file_info(FileSelector(folder, allow_not_found=True)):
        if info.type == FileType.File:
            yield info.base_name


def _last_checkpoint(system: FileSystem, folder: str) -> int | None:
    try:
        with system.open_input_stream(f"{folder}/_delta_log/_last_checkpoint") as handle:
            return int(json.loads(handle.read())["version"])
    except (OSError, ValueError, KeyError):
        return None
