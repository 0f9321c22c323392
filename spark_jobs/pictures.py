"""Which pictures can be used: there, whole, really an image, and the file that the digest names."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

MALFORMED = "image is no SHA-256 in lower-case hex"
MISSING = "picture is missing"
UNREADABLE = "picture is corrupt or no image"
OTHER_CONTENT = "picture's content is not what its name says"
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


def unusable(folder: Path, digests: Iterable[str]) -> dict[str, str]:
    """Digest -> reason, for the pictures that cannot be used. About 1 ms a picture: decoding releases Python's lock,
    so threads of the driver are enough and no Python worker has to start."""
    distinct = sorted(set(digests))
    with ThreadPoolExecutor(max_workers=4) as pool:
        reasons = pool.map(lambda digest: judge(folder, digest), distinct)
        return {digest: reason for digest, reason in zip(distinct, reasons, strict=True) if reason}
