"""Which pictures can be used: there, whole, really an image, and the file that the digest names."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pyarrow as pa
from PIL import Image
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.caching import cached
from spark_jobs.landing_reader import REASON
from spark_jobs.small_frames import small_frame

MALFORMED = "image is no SHA-256 in lower-case hex"
MISSING = "picture is missing"
UNREADABLE = "picture is corrupt or no image"
OTHER_CONTENT = "picture's content is not what its name says"
FEW = 20_000  # pictures that the driver judges itself
SCHEMA = f"image string, {REASON} string"
_DIGEST = re.compile(r"[0-9a-f]{64}")


def judge(folder: Path, digest: str) -> str | None:
    """What is wrong with one picture; None when nothing is."""
    if not _DIGEST.fullmatch(digest):
        return MALFORMED
    try:
        content = (folder / f"{digest}.jpg").read_bytes()
    except FileNotFoundError:
        return MISSING
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
    except Exception:  # Pillow raises many kinds for a damaged file; each means the same here
        return UNREADABLE
    return None if hashlib.sha256(content).hexdigest() == digest else OTHER_CONTENT


def unusable(spark: SparkSession, folder: Path, ads: DataFrame, until: ExitStack) -> DataFrame | None:
    """`image` and `_reason` of the pictures named by `ads` that cannot be used; None: all of them can.

    A picture takes about 1 ms. Decoding releases Python's lock, so for a few the driver's threads are enough and no
    Python worker has to start; more of them are judged where Spark's tasks run, which must see the folder.
    """
    named = ads.where("image IS NOT NULL").select("image").distinct()
    some = [row["image"] for row in named.limit(FEW + 1).collect()]
    if len(some) <= FEW:
        with ThreadPoolExecutor(max_workers=4) as pool:
            wrong = [row for row in pool.map(partial(_judged, folder), sorted(some)) if row[1]]
        return F.broadcast(small_frame(spark, wrong, SCHEMA)) if wrong else None

    def judge_all(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            judged = [_judged(folder, image) for image in batch.column(0).to_pylist()]
            wrong = [{"image": image, REASON: reason} for image, reason in judged if reason]
            yield pa.RecordBatch.from_pylist(wrong, schema=pa.schema({"image": pa.string(), REASON: pa.string()}))

    return cached(named.mapInArrow(judge_all, SCHEMA), until)


def _judged(folder: Path, image: str) -> tuple[str, str | None]:
    return image, judge(folder, image)
