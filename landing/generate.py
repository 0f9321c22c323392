"""The default data: `generate` writes landing folders whose content depends on seed, sizes and day only."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from contracts.artifacts import write_atomically
from contracts.days import Days
from contracts.errors import InputError
from landing.ads import Cohort, catalogue_days, make_cohort
from landing.behaviours import make_behaviours
from landing.faults import Row, faulty_rows, impression
from landing.streams import micros
from landing.traffic import Traffic, make_traffic
from landing.world import AGE_BANDS, CATEGORY_NAMES, GENDERS, REGIONS, SENSITIVITIES, Looks, Sizes, World, make_world
from landing.writing import from_rows, write_day, write_file

ORIGIN = date(2026, 1, 1)  # the log begins here: clicks of earlier days do not spill over it
RECORD = "generator.json"
VERSION = 2  # of the generator; raised with every change of what a day holds
LATEST = 3  # days after its impression's day on which a click may still land


@dataclass
class Maker:
    """A world and what has been made of it so far; days share cohorts and, for late clicks, traffic."""

    world: World
    shuffle_pictures: bool = False
    cohorts: dict[int, Cohort] = field(default_factory=dict)
    days: dict[int, tuple[Traffic, list[Row], list[Row]]] = field(default_factory=dict)

    def cohort(self, entered: int) -> Cohort:
        if entered not in self.cohorts:
            self.cohorts[entered] = make_cohort(self.world, entered, self.shuffle_pictures)
        return self.cohorts[entered]

    def day(self, day: int) -> tuple[Traffic, list[Row], list[Row]]:
        """The day's traffic, and its faulty impressions and clicks."""
        if day not in self.days:
            traffic = make_traffic(self.world, day, self.cohort)
            self.days[day] = (traffic, *faulty_rows(self.world, traffic))
        return self.days[day]

    def forget(self, before: int) -> None:
        """Drops what days from `before` on do not need, so that a long range needs no more memory than a short one."""
        self.days = {day: made for day, made in self.days.items() if day >= before - LATEST}
        self.cohorts = {day: made for day, made in self.cohorts.items() if day >= before - LATEST - 10}


def generate(
    out: Path,
    days: Days,
    sizes: Sizes,
    seed: int,
    looks: Looks = "category",
    shuffle_pictures: bool = False,
    progress: Callable[[date], None] | None = None,
) -> None:
    """Writes `day=*/`, `images/` and `truth/` into `out`; a day that is there stays.

    Raises InputError if `out` holds data of another seed, of other sizes, or not of this generator.
    """
    _claim(out, sizes, seed, looks, shuffle_pictures)
    maker = Maker(make_world(seed, sizes, looks), shuffle_pictures)
    for day in days:
        if not (out / f"day={day}").exists():
            _write(out, day, maker)
            maker.forget(day.toordinal() + 1)
        if progress:
            progress(day)


def tables_of(maker: Maker, day: date) -> tuple[dict[str, pa.Table], pa.Table]:
    """The five tables that land on `day`, and the truth."""
    ordinal, world = day.toordinal(), maker.world
    traffic, further, _ = maker.day(ordinal)
    impressions = [impression(world, traffic, at) for at in range(len(traffic.ids))]
    impressions = sorted(impressions + further, key=lambda row: (row["shown_at"], row["impression_id"]))
    tables = {
        "impressions": from_rows("impressions", impressions),
        "clicks": from_rows("clicks", _landed_clicks(maker, ordinal)),
        "behaviours": from_rows("behaviours", make_behaviours(world, ordinal, maker.cohort)),
        "ads": from_rows("ads", _catalogue(maker, ordinal)),
        "users": from_rows("users", _profiles(world)),
    }
    return tables, pa.table({"impression_id": traffic.ids, "p": traffic.probability})


def _write(out: Path, day: date, maker: Maker) -> None:
    tables, truth = tables_of(maker, day)
    pictures = out / "images"
    pictures.mkdir(parents=True, exist_ok=True)
    for entered in catalogue_days(day.toordinal()):
        for name, content in maker.cohort(entered).files.items():
            path = pictures / f"{name}.jpg"
            if not path.exists():
                write_file(path, content)
    write_day(out / "truth" / f"day={day}", {"truth": truth})
    write_day(out / f"day={day}", tables)


def _landed_clicks(maker: Maker, day: int) -> list[Row]:
    """Clicks of this and the three days before whose `landed_at` lies in `day`, in order of landing."""
    rows: list[Row] = []
    begin, end = micros(day), micros(day + 1)
    for shown in range(day - LATEST, day + 1):
        if shown < ORIGIN.toordinal() <= day:
            continue
        traffic, _, faulty = maker.day(shown)
        clicks = traffic.clicks
        for at in np.flatnonzero((clicks.landed_at >= begin) & (clicks.landed_at < end)):
            row: Row = {"impression_id": traffic.ids[clicks.impression[at]]}
            rows.append({**row, "clicked_at": int(clicks.clicked_at[at]), "landed_at": int(clicks.landed_at[at])})
        rows += [row for row in faulty if begin <= int(str(row["landed_at"])) < end]
    return sorted(rows, key=lambda row: (row["landed_at"], row["impression_id"]))


def _catalogue(maker: Maker, day: int) -> list[Row]:
    rows: list[Row] = []
    for entered in catalogue_days(day):
        ads = maker.cohort(entered)
        for at, ad_id in enumerate(ads.ids):
            rows.append(
                {
                    "ad_id": ad_id,
                    "category_id": None if at in ads.no_category else CATEGORY_NAMES[ads.category[at]],
                    "brand_id": f"brand-{ads.brand[at]:02d}",
                    "shop_id": f"shop-{ads.shop[at]:03d}",
                    "price": round(float(np.exp(3.2 + 0.7 * ads.price_score[at])), 2),
                    "title": ads.titles[at],
                    "reviews": int(ads.reviews[at] + ads.reviews_daily[at] * (day - entered)),
                    "image": ads.images[at],
                }
            )
    return rows


def _profiles(world: World) -> list[Row]:
    return [
        {
            "user_id": user_id,
            "age_band": AGE_BANDS[world.age[at]],
            "gender": GENDERS[world.gender[at]],
            "region": REGIONS[world.region[at]],
            "price_sensitivity": SENSITIVITIES[world.sensitivity[at]],
        }
        for at, user_id in enumerate(world.user_ids)
    ]


def _claim(out: Path, sizes: Sizes, seed: int, looks: Looks, shuffle_pictures: bool) -> None:
    """Records what the folder holds; refuses to mix two worlds in one folder."""
    options = {"seed": seed, "looks": looks, "shuffle_pictures": shuffle_pictures}
    wanted = {"generator": VERSION, **options, **asdict(sizes)}
    record = out / RECORD
    if record.is_file():
        found = json.loads(record.read_text())
        if found != wanted:
            differing = ", ".join(
                f"{k} is {found.get(k)}, asked for {v}" for k, v in wanted.items() if found.get(k) != v
            )
            raise InputError(f"{out} holds other generated data ({differing}); choose another --out or delete it")
    elif any(out.glob("day=*")):
        raise InputError(f"{out} holds landing data that this generator did not make; choose another --out")
    else:
        write_atomically(record, json.dumps(wanted, indent=2) + "\n")
