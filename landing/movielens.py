"""MovieLens 100K with posters -> landing folders: a rating is an impression of a film, a click a rating of 4 or more.

The licence forbids handing the data on, so the output belongs into a folder of one's own, never into the repository.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from contracts.artifacts import write_atomically
from contracts.errors import InputError
from landing.faults import Row
from landing.streams import SECOND
from landing.writing import from_rows, write_day, write_file

SOURCE_FILES = ("interactions.csv", "items.csv", "users.csv")
DEFAULT = Path(__file__).parents[1] / ".." / "shared" / "data" / "movielens100k-posters"
LIKED = 4  # a rating from which on it is a click
HISTORY = 32  # days that a run trains on, before the day to run
AGES = ((25, "18-24"), (35, "25-34"), (45, "35-44"), (55, "45-54"), (65, "55-64"), (1000, "65+"))
MARK = "# Written by `landing from-movielens`."
SETTINGS = f"""{MARK} Ratings come in bursts: a day holds between none and 3,550 of them,
# most by people on their first day, so bounds that are made for steady traffic would stop nearly every day.
min_rows: 0
max_rows: 1000000
min_ctr: 0.0
max_ctr: 1.0
# A day has about twenty to sixty people, so the gate can only see large differences.
gate_margin: -0.05
gate_min_rows: 200
gate_min_clicks: 50
gate_min_users: 15
"""


@dataclass(frozen=True)
class Rating:
    user: str
    film: str
    value: int
    seconds: int  # since 1970, UTC

    @property
    def day(self) -> date:
        return datetime.fromtimestamp(self.seconds, UTC).date()


def run(out: Path, source: Path | None = None) -> int:
    """Converts and says which day to run. Returns 0."""
    source = source or DEFAULT
    ratings = convert(source, out)
    day = day_to_run(ratings)
    counts = Counter(rating.day for rating in ratings)
    clicks = sum(rating.value >= LIKED for rating in ratings if rating.day == day)
    print(f"{len(ratings):,} ratings of {len(counts)} days in {out}")
    print(f"run {day}: {counts[day]:,} impressions, {clicks:,} clicks, {HISTORY} days before it")
    return 0


def convert(source: Path, out: Path) -> list[Rating]:
    """Writes `out`; a day that is there is written again, equal. Raises InputError where the source is not complete."""
    missing = [name for name in SOURCE_FILES if not (source / name).is_file()]
    if missing:
        raise InputError(
            f"no MovieLens 100K with posters at {source} (missing {', '.join(missing)}); "
            "name the folder with --from or ADLENS_REAL_DATA, or use `landing generate`"
        )
    _claim(out)
    ratings = [
        Rating(row["user_id"], row["item_id"], int(row["rating"]), int(row["timestamp"]))
        for row in _rows(source / "interactions.csv")
    ]
    ratings.sort(key=lambda one: (one.seconds, int(one.user), int(one.film)))
    by_day: dict[date, list[Rating]] = {}
    for rating in ratings:
        by_day.setdefault(rating.day, []).append(rating)
    films, profiles = _films(source, out / "images"), _profiles(source)
    seen: Counter[str] = Counter()
    for ahead in range((max(by_day) - min(by_day)).days + 1):
        day = min(by_day) + timedelta(days=ahead)
        of_day = by_day.get(day, [])
        seen.update(rating.film for rating in of_day)
        tables: dict[str, list[Row]] = {
            "impressions": [_impression(rating) for rating in of_day],
            "clicks": [_click(rating) for rating in of_day if rating.value >= LIKED],
            "behaviours": [_view(rating) for rating in of_day],
            "ads": [{**film, "reviews": seen[str(film["ad_id"])[5:]]} for film in films],
            "users": profiles,
        }
        write_day(out / f"day={day}", {name: from_rows(name, rows) for name, rows in tables.items()})
    write_atomically(out / "adlens.yaml", SETTINGS)
    return ratings


def day_to_run(ratings: list[Rating]) -> date:
    """The fullest day that has a whole window of days before it."""
    counts = Counter(rating.day for rating in ratings)
    earliest = min(counts) + timedelta(days=HISTORY)
    candidates = [day for day in counts if day >= earliest] or list(counts)
    return max(candidates, key=lambda day: (counts[day], day))


def _impression(rating: Rating) -> Row:
    """MovieLens knows no slot and no query."""
    name = f"r-{rating.user}-{rating.film}"
    who: Row = {"user_id": f"user-{rating.user}", "ad_id": f"film-{rating.film}"}
    return {"impression_id": name, "shown_at": rating.seconds * SECOND, **who, "position": 0, "query": None}


def _click(rating: Rating) -> Row:
    """Half a second later: times are whole seconds, so that a click stays in its impression's day."""
    clicked = rating.seconds * SECOND + SECOND // 2
    name = f"r-{rating.user}-{rating.film}"
    return {"impression_id": name, "clicked_at": clicked, "landed_at": clicked + SECOND // 4}


def _view(rating: Rating) -> Row:
    """Every rated film counts as viewed, whatever the rating: the history must not tell the label."""
    who: Row = {"user_id": f"user-{rating.user}", "ad_id": f"film-{rating.film}"}
    return {**who, "kind": "view", "at": rating.seconds * SECOND}


def _films(source: Path, pictures: Path) -> list[Row]:
    """All films, known from the first day on; the decade stands for the brand. Copies the posters."""
    pictures.mkdir(parents=True, exist_ok=True)
    films: list[Row] = []
    for row in _rows(source / "items.csv"):
        image = None
        if row["image_path"]:
            content = (source / row["image_path"]).read_bytes()
            image = hashlib.sha256(content).hexdigest()
            path = pictures / f"{image}.jpg"
            if not path.exists():
                write_file(path, content)
        year = row["year"]
        films.append(
            {
                "ad_id": f"film-{row['item_id']}",
                "category_id": row["category"] or None,
                "brand_id": f"{year[:3]}0s" if year.isdigit() else None,
                "title": row["title"] or None,
                "image": image,
            }
        )
    return films


def _profiles(source: Path) -> list[Row]:
    """The occupation stands for the region: both are a coarse word about where somebody belongs."""
    return [
        {
            "user_id": f"user-{row['user_id']}",
            "age_band": next(band for bound, band in AGES if int(row["age"]) < bound),
            "gender": row["gender"],
            "region": row["occupation"],
        }
        for row in _rows(source / "users.csv")
    ]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def _claim(out: Path) -> None:
    """Refuses a folder with landing data of another origin."""
    settings = out / "adlens.yaml"
    ours = settings.is_file() and settings.read_text(encoding="utf-8").startswith(MARK)
    if not ours and any(out.glob("day=*")):
        raise InputError(f"{out} holds other landing data; choose another folder")
    write_atomically(settings, SETTINGS)  # first, so that an interrupted conversion can go on
