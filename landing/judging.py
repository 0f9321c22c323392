"""One day's rows: which would be set aside and why, which are copies.

Stage 1 does the same in Spark, with the same declared rules. Set-aside ads, users and behaviours are told, but only
impressions and clicks count towards the bound.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from contracts.tables import LANDING
from landing.reading import Read, rows
from landing.row_rules import RowRules

MINUTE = 60_000_000
UNKNOWN_AD = "ad is in neither the day's catalogue nor the day before's"
SAME_ID = "another row has the same id and came first"
KEYS = {
    "impressions": ("impression_id",),
    "clicks": ("impression_id", "clicked_at"),
    "behaviours": ("user_id", "ad_id", "kind", "at"),
    "ads": ("ad_id",),
    "users": ("user_id",),
}


@dataclass
class Findings:
    """Row numbers by what is wrong (`aside`) or worth knowing (`told`), for one file; `absent`: nullable columns that
    it does not hold."""

    landed: int = 0
    aside: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    told: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    absent: list[str] = field(default_factory=list)

    @property
    def set_aside(self) -> int:
        return sum(map(len, self.aside.values()))


def read_unique(path: Path, source: str, declared: RowRules, findings: Findings) -> dict[tuple[object, ...], Read]:
    """The rows that stay after form, declared rules and uniqueness, by key; the others go to `findings`.

    Of equal ids the earliest row stays; exact copies of it are told, not set aside. Equal clicks and behaviours are
    copies.
    """
    kept: dict[tuple[object, ...], Read] = {}
    copies: dict[tuple[object, ...], list[int]] = defaultdict(list)  # of the row that is kept so far
    order = [column.name for column in LANDING[source] if column.name not in KEYS[source]]
    for number, values, wrong in rows(path, source):
        findings.landed += 1
        wrong = wrong or declared.broken(values)
        if wrong:
            findings.aside[wrong].append(number)
            continue
        key = tuple(values[name] for name in KEYS[source])
        other = kept.get(key)
        if other is None:
            kept[key] = (number, values, None)
        elif other[1] == values or source in ("clicks", "behaviours"):
            copies[key].append(number)
        elif _rank(values, order) < _rank(other[1], order):
            findings.aside[SAME_ID] += [other[0], *copies.pop(key, [])]
            kept[key] = (number, values, None)
        else:
            findings.aside[SAME_ID].append(number)
    if copies:
        findings.told["an exact copy, dropped"] += [number for numbers in copies.values() for number in numbers]
    return kept


def _rank(values: Mapping[str, object], order: list[str]) -> list[tuple[bool, object]]:
    """Nulls first, as in Spark."""
    return [(values.get(name) is not None, values.get(name) or 0) for name in order]


def judge_impressions(
    kept: dict[tuple[object, ...], Read], known_ads: set[object], known_users: set[object], findings: Findings
) -> dict[object, int]:
    """id -> shown_at of the impressions that stay."""
    stay: dict[object, int] = {}
    for number, values, _ in kept.values():
        if values["ad_id"] not in known_ads:
            findings.aside[UNKNOWN_AD].append(number)
        else:
            stay[values["impression_id"]] = int(str(values["shown_at"]))
            if values["user_id"] not in known_users:
                findings.told["user has no profile; the row stays"].append(number)
    return stay


def judge_clicks(
    kept: dict[tuple[object, ...], Read],
    shown: list[dict[object, int]],
    reaches_back: bool,
    first_moment: int,
    window_minutes: int,
    findings: Findings,
) -> int:
    """Clicks against the impressions of this day and those before it that a click may still reach, newest first.

    `reaches_back`: all those days could be read; without, a click of an unknown impression from before `first_moment`
    may belong to one of them and is only told. Returns the number of impressions with a click that counts.
    """
    clicked: set[object] = set()
    for number, values, _ in kept.values():
        name, at = values["impression_id"], int(str(values["clicked_at"]))
        times = [day[name] for day in shown if name in day]
        if any(0 <= at - time <= window_minutes * MINUTE for time in times):
            if name in clicked:
                findings.told["a further click on one impression; changes nothing"].append(number)
            clicked.add(name)
        elif any(at > time for time in times):
            findings.aside["click outside the attribution window"].append(number)
        elif times:
            findings.aside["click before its impression"].append(number)
        elif not reaches_back and at - window_minutes * MINUTE < first_moment:
            findings.told["click on an impression of an earlier day that is not here"].append(number)
        else:
            findings.aside["click without an impression"].append(number)
    return len(clicked)


def judge_pictures(
    kept: dict[tuple[object, ...], Read], folder: Path, judged: dict[object, str | None], findings: Findings
) -> None:
    """What is wrong with the ads' pictures; `judged` remembers those already opened."""
    for number, values, _ in kept.values():
        image = values["image"]
        if values["category_id"] is None:
            findings.told["ad without category; a reserved one stands in"].append(number)
        if image is None:
            findings.told["ad without a picture; a reserved one stands in"].append(number)
            continue
        assert isinstance(image, bytes)
        if image not in judged:
            judged[image] = picture_fault(folder, image.decode())
        if reason := judged[image]:
            findings.told[f"{reason}; a reserved one stands in"].append(number)


def picture_fault(folder: Path, digest: str) -> str | None:
    """What is wrong with one picture file; None when nothing is."""
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        return "image is no SHA-256 in lower-case hex"
    try:
        content = (folder / f"{digest}.jpg").read_bytes()
    except FileNotFoundError:
        return "picture is missing"
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
    except Exception:  # Pillow raises many kinds for a damaged file; each means the same here
        return "picture is corrupt or no image"
    return None if hashlib.sha256(content).hexdigest() == digest else "picture's content is not what its name says"
