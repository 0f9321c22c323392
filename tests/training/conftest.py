"""Made `ad_groups` tables with drawn pictures, so that training is tested without Spark."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import WriterProperties, write_deltalake
from PIL import Image, ImageDraw

from contracts import paths
from contracts.features import context_values
from contracts.hashing import code
from contracts.settings import Settings
from contracts.tables import Column, group_tables

FIRST = date(2026, 1, 1)
SIMPLE = {"string": pa.string(), "int": pa.int32(), "double": pa.float64(), "bigint": pa.int64()}
SIMPLE |= {"timestamp": pa.timestamp("us", tz="UTC"), "array<bigint>": pa.list_(pa.int64())}


def arrow_type(column: Column) -> pa.DataType:
    fields = [pa.field(name, SIMPLE[kind]) for name, kind in column.fields().items()]
    return pa.list_(pa.struct(fields)) if fields else SIMPLE[column.type]


def schema(name: str = "ad_groups") -> pa.Schema:
    return pa.schema([(c.name, arrow_type(c)) for c in group_tables()[name].columns])


def by_user(ad_groups: pa.Table) -> pa.Table:
    """The same impressions as `user_groups`: rule and order are Spark's, in plain Python."""
    table = group_tables()["user_groups"]
    outer = [name for name in table.names() if name not in ("day", "group_id", "impressions")]
    inner = {field.name for field in schema("user_groups").field("impressions").type.value_type}
    groups: dict[tuple[str, str], list[dict[str, object]]] = {}
    for group in ad_groups.to_pylist():
        for shown in group["impressions"]:
            groups.setdefault((group["day"], shown["user_id"]), []).append({**group, **shown})
    rows = []
    for (day, user), flat in sorted(groups.items()):
        flat.sort(key=lambda row: (row["shown_at"], row["impression_id"]))
        shown_here = [{name: row[name] for name in row if name in inner} for row in flat]
        rows.append({"day": day, "group_id": user, "impressions": shown_here, **{n: flat[0][n] for n in outer}})
    return pa.Table.from_pylist(rows, schema=schema("user_groups"))


def draw(random: np.random.Generator, hue: float, square: bool, size: int = 40) -> bytes:
    """A circle or a square of one colour on another, as JPEG bytes."""
    image = Image.new("RGB", (size, size), tuple(int(v) for v in random.integers(0, 255, 3)))
    colour = (int(255 * hue), 90, int(255 * (1 - hue)))
    x, y = random.integers(4, size // 3, 2)
    box = [int(x), int(y), int(x + size // 2), int(y + size // 2)]
    pen = ImageDraw.Draw(image)
    (pen.rectangle if square else pen.ellipse)(box, fill=colour)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92)
    return out.getvalue()


class World:
    """Ads whose hue raises the CTR in even categories and lowers it in odd ones; squares matter likewise."""

    def __init__(self, images: Path, ads: int, seed: int, strength: float = 1.2, categories: int = 6):
        self.random = np.random.default_rng(seed)
        self.strength, self.categories, self.images = strength, categories, images
        images.mkdir(parents=True, exist_ok=True)
        self.image: list[str] = []
        self.logit: list[float] = []
        self.grow(ads)

    def grow(self, ads: int) -> None:
        for ad in range(len(self.image), len(self.image) + ads):
            hue, square = self.random.random(), bool(self.random.integers(2))
            data = draw(self.random, hue, square)
            self.image.append(hashlib.sha256(data).hexdigest())
            (self.images / f"{self.image[-1]}.jpg").write_bytes(data)
            sign = 1 if ad % self.categories % 2 == 0 else -1
            self.logit.append(sign * self.strength * ((hue - 0.5) * 3 + (square - 0.5)))

    def groups(self, day: date, impressions: int, known: int) -> pa.Table:
        """A day's groups; ads from `known` on are new and have neither picture nor category."""
        random, text = self.random, day.isoformat()
        by_ad: dict[int, list[dict[str, object]]] = {}
        for at in range(impressions):
            ad, user = int(random.integers(len(self.image))), int(random.integers(300))
            logit = self.logit[ad] + (user % 5 - 2) * 0.3 - 1.5
            shown = datetime.combine(day, time(int(random.integers(24))), UTC)
            context = context_values(shown, "red shoe" if user % 2 else None, "UTC")
            by_ad.setdefault(ad, []).append(
                {
                    "impression_id": f"{text}-{at}", "shown_at": shown, "position": 0, "user_id": f"u{user}",
                    "label": int(random.random() < 1 / (1 + np.exp(-logit))),
                    "c_age_band": code(f"a{user % 5}"), "c_gender": code("fm"[user % 2]), "c_region": None,
                    "c_price_sensitivity": code("low"), "c_user_ctr_7d": 0.1 + user % 5 / 100,
                    "c_recent_categories": [code(f"k{user % 3}")] * (user % 3) or None,
                    "c_hour": code(str(context["hour"])), "c_weekday": code(str(context["weekday"])),
                    "c_query_words": None if context["query_words"] is None
                    else [code(word) for word in context["query_words"]],
                }
            )  # fmt: skip
        rows = []
        for ad, shown_here in sorted(by_ad.items()):
            seen = ad < known
            outer = {
                "ad_id": f"ad{ad}", "image": self.image[ad] if seen else None, "c_ad_id": code(f"ad{ad}"),
                "c_category_id": code(f"k{ad % self.categories}") if seen else None,
                "c_brand_id": code(f"b{ad % 7}") if seen else None, "c_shop_id": code(f"s{ad % 5}") if seen else None,
                "c_price": float(ad % 50) if seen else None, "c_reviews": float(ad % 9) if seen else None,
                "c_ad_ctr_7d": 0.1 if seen else None, "c_title_words": [code("nice"), code(f"w{ad % 4}")],
            }  # fmt: skip
            for first in range(0, len(shown_here), 25):
                group = {"day": text, "group_id": f"{ad}-{first}", "impressions": shown_here[first : first + 25]}
                rows.append(group | outer)
        return pa.Table.from_pylist(rows, schema=schema())


def write(settings: Settings, table: pa.Table, name: str = "ad_groups", row_group: int = 100_000) -> None:
    properties = WriterProperties(max_row_group_size=row_group)
    address = paths.table(settings, name)
    write_deltalake(address, table, mode="append", partition_by=["day"], writer_properties=properties)


Made = Callable[..., Settings]


@pytest.fixture
def make(tmp_path: Path) -> Made:
    """make(days, impressions a day, ads) -> settings of a home that holds such a table, first day 2026-01-01.

    `row_group`: most groups of a Parquet row group. `users`: the same impressions as user_groups, too.
    """

    def build(
        days: int = 8, impressions: int = 300, ads: int = 40, fresh: int = 2, row_group: int = 100_000,
        users: bool = False, **overrides: object,
    ) -> Settings:  # fmt: skip
        settings = Settings.model_validate(
            {"home": tmp_path / "home", "landing": tmp_path / "landing", "recipe": "tiny", **overrides}
        )
        world = World(paths.images(settings), ads, seed=1)
        for n in range(days):
            known = len(world.image)
            world.grow(fresh)
            groups = world.groups(FIRST + timedelta(days=n), impressions, known)
            write(settings, groups, row_group=row_group)
            if users:
                write(settings, by_user(groups), "user_groups", row_group)
        return settings

    return build
