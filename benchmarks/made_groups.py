"""Made `ad_groups` with pictures for benchmarks of training: full groups, any feature set, neither Spark nor network.

Codes are drawn from `distinct` values a feature, labels at a CTR of 0.1, pictures are noise at `pixels` a side.
"""

from __future__ import annotations

import hashlib
import io
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from numpy.typing import NDArray
from PIL import Image

from contracts import paths
from contracts.features import feature_set
from contracts.settings import Settings
from contracts.tables import group_tables

FIRST = date(2026, 1, 1)
CTR = 0.1


def pictures(settings: Settings, count: int, pixels: int, random: np.random.Generator) -> list[str]:
    """Digests of `count` JPEG files."""
    folder, digests = paths.images(settings), []
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(count):
        small = random.integers(0, 256, (pixels // 16, pixels // 16, 3), np.uint8)
        out = io.BytesIO()
        Image.fromarray(small).resize((pixels, pixels)).save(out, "JPEG")
        digests.append(hashlib.sha256(out.getvalue()).hexdigest())
        (folder / f"{digests[-1]}.jpg").write_bytes(out.getvalue())
    return digests


def _column(kind: str, rows: int, distinct: int, random: np.random.Generator) -> pa.Array:
    def codes(count: int) -> NDArray[np.int64]:
        return random.integers(0, distinct, count) * 0x9E3779B97F4A7C1

    if kind == "bigint":
        return pa.array(codes(rows))
    if kind == "double":
        return pa.array(random.random(rows))
    if kind == "array<bigint>":
        return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32) * 4), pa.array(codes(4 * rows)))
    if kind == "int":
        return pa.array(np.zeros(rows, np.int32))
    if kind == "timestamp":
        return pa.array(np.full(rows, 1_767_225_600_000_000), pa.timestamp("us", tz="UTC"))
    return pa.array([f"x{number}" for number in random.integers(0, distinct, rows)])


def make(
    settings: Settings, set_name: str, days: int, groups: int, share: int, images: list[str], distinct: int
) -> int:
    """`groups` a day of `share` impressions, each group an ad of its own day, pictures in turn. Returns impressions."""
    random = np.random.default_rng(1)
    columns = group_tables(feature_set(set_name))["ad_groups"].columns
    for day in range(days):
        text, rows = (FIRST + timedelta(days=day)).isoformat(), groups * share
        found: dict[str, pa.Array] = {}
        for column in columns:
            if column.name == "impressions":
                fields = {name: _column(kind, rows, distinct, random) for name, kind in column.fields().items()}
                fields["label"] = pa.array((random.random(rows) < CTR).astype(np.int32))
                inner = pa.StructArray.from_arrays(list(fields.values()), list(fields))
                found[column.name] = pa.ListArray.from_arrays(np.arange(groups + 1, dtype=np.int32) * share, inner)
            else:
                found[column.name] = _column(column.type, groups, distinct, random)
        found["day"] = pa.array([text] * groups)
        found["ad_id"] = pa.array([f"{text}-{at}" for at in range(groups)])
        found["image"] = pa.array([images[(day * groups + at) % len(images)] for at in range(groups)])
        write_deltalake(paths.table(settings, "ad_groups"), pa.table(found), mode="append", partition_by=["day"])
    return days * groups * share
