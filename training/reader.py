"""Group tables read without Spark: which days a run may read, and a day's impressions as flat columns.

What training learns from is training/stream.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from contracts.artifacts import digest
from contracts.days import training_days
from contracts.delta_dataset import dataset
from contracts.errors import InputError, MissingArtifact
from contracts.features import Feature, feature_set
from training.columns import Impressions, flatten, group_columns

GROUPS_AT_ONCE = 1_024
DAILY = feature_set("daily")


def open_table(address: str, version: int | None = None) -> DeltaTable:
    """The newest version, or one that is kept. Raises MissingArtifact where no Delta table is."""
    try:
        return DeltaTable(address, version=version)
    except TableNotFoundError:
        raise MissingArtifact(f"no Delta table at {address}; run the stage `groups` first") from None


def name_of(table: DeltaTable) -> str:
    return table.table_uri.rstrip("/").rsplit("/", 1)[-1]


def days_with_groups(table: DeltaTable) -> list[str]:
    return sorted({partition["day"] for partition in table.partitions()})


def training_interval(table: DeltaTable, day: date, window: int, minimum: int) -> list[str]:
    """Rule 4: the days with groups in [day - window, day). `day` itself is never among them.

    Raises InputError for fewer than `minimum` days.
    """
    wanted = training_days(day, window)
    inside = [text for text in days_with_groups(table) if date.fromisoformat(text) in wanted]
    if len(inside) < minimum:
        raise InputError(
            f"run {day} trains on [{wanted.start}, {wanted.end}); {name_of(table)} holds {len(inside)} of these days, "
            f"at least {minimum} are needed (setting min_training_days). Build more days of groups or run a later day"
        )
    return inside


def fingerprint(table: DeltaTable, days: Sequence[str]) -> str:
    """Digest of the files that hold these days: other days' commits do not change it (manifests keep the version)."""
    root = table.table_uri.rstrip("/")
    files = {day: table.file_uris(file_pruning_predicate=[("day", "=", day)]) for day in days}
    return digest({day: sorted(uri.split(root)[-1] for uri in found) for day, found in files.items()})


def chunks(table: DeltaTable, day: str, features: Sequence[Feature] = DAILY) -> Iterator[Impressions]:
    """The day's impressions, `GROUPS_AT_ONCE` groups at a time, in the same order each time for the same files.

    Only the columns that `features` need are read, whatever more the table holds. Raises MissingArtifact where it
    lacks one.
    """
    rows = dataset(table, [day])
    columns = group_columns(features, rows.schema.names)
    for fragment in sorted(rows.get_fragments(), key=lambda f: f.path):
        for groups in fragment.to_batches(
            columns=columns, batch_size=GROUPS_AT_ONCE, use_threads=False, schema=rows.schema
        ):
            if len(groups):
                yield flatten(groups, features)
