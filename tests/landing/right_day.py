"""A small landing day without a fault, and what `landing check` says of a folder."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from landing.check import run
from landing.writing import schema

DAY = "2026-01-02"


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00").astimezone(UTC)


def rows() -> dict[str, list[dict[str, object]]]:
    """A small right day: two ads, two users, 300 impressions, one click."""
    digest = hashlib.sha256(picture()).hexdigest()
    ad = {"category_id": "c", "brand_id": "b", "shop_id": "s", "price": 1.5, "title": "t", "reviews": 1}
    user = {"age_band": "25-34", "gender": "f", "region": "r", "price_sensitivity": "low"}
    shown = [
        {
            "impression_id": f"i{n}",
            "shown_at": at(f"{DAY}T10:00:00"),
            "user_id": "u1",
            "ad_id": "a1",
            "position": 0,
            "query": None,
        }
        for n in range(300)
    ]
    clicked = {"clicked_at": at(f"{DAY}T10:01:00"), "landed_at": at(f"{DAY}T10:01:01")}
    return {
        "impressions": shown,
        "clicks": [{"impression_id": "i1", **clicked}],
        "behaviours": [{"user_id": "u1", "ad_id": "a1", "kind": "view", "at": at(f"{DAY}T09:00:00")}],
        "ads": [{"ad_id": f"a{n}", **ad, "image": digest} for n in (1, 2)],
        "users": [{"user_id": f"u{n}", **user} for n in (1, 2)],
    }


def write(landing: Path, tables: dict[str, list[dict[str, object]]], jsonl: bool = False) -> Path:
    folder = landing / f"day={DAY}"
    folder.mkdir(parents=True)
    (landing / "images").mkdir()
    (landing / "images" / f"{hashlib.sha256(picture()).hexdigest()}.jpg").write_bytes(picture())
    for name, listed in tables.items():
        if jsonl:
            lines = [json.dumps(row, default=lambda moment: moment.isoformat()) for row in listed]
            (folder / f"{name}.jsonl").write_text("".join(line + "\n" for line in lines))
        else:
            pq.write_table(pa.Table.from_pylist(listed, schema=schema(name)), folder / f"{name}.parquet")
    return folder


def said(landing: Path) -> tuple[int, str]:
    lines: list[str] = []
    return run(landing, None, lines.append), "\n".join(lines)
