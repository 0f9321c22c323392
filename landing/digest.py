"""The generator's digest: SHA-256 over the content of a tiny fixed run, written in docs/adr/0002.

It covers values, not files, so that another Parquet writer changes nothing; pictures are in it by the ads' `image`.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date, timedelta

from landing.generate import ORIGIN, Maker, tables_of
from landing.world import Looks, Sizes, make_world

TINY = Sizes(impressions=400, ads=80, users=100, image_size=32)
TINY_DAYS = tuple(ORIGIN + timedelta(days=n) for n in range(3))


def content_digest(maker: Maker, days: tuple[date, ...]) -> str:
    """Of the five tables and the truth of `days`, in order."""
    total = hashlib.sha256()
    for day in days:
        tables, truth = tables_of(maker, day)
        for name, table in {**tables, "truth": truth}.items():
            text = json.dumps([name, table.to_pydict()], default=str, separators=(",", ":"))
            total.update(text.encode())
    return total.hexdigest()


def tiny_digest(looks: Looks = "category", shuffle_pictures: bool = False) -> str:
    """The digest of the fixed run with seed 1."""
    return content_digest(Maker(make_world(1, TINY, looks), shuffle_pictures), TINY_DAYS)
