"""Landing folders of any size for the benchmarks of the Spark jobs: made quickly, skewed, without pictures."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.days import Days
from contracts.tables import LANDING

CTR, LATE = 0.05, 0.02  # share of impressions that are clicked; of the clicks, those that land a day later
AGAIN = 0.001  # share of a log's rows that are logged twice
MICROS = 1_000_000
_TYPES = {
    "string": pa.string(), "timestamp": pa.timestamp("us", "UTC"), "int": pa.int32(), "long": pa.int64(),
    "double": pa.float64(),
}  # fmt: skip


def ids(prefix: str, numbers: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pc.cast(pa.array(numbers), pa.string()), "")


def write(folder: Path, source: str, columns: dict[str, object], n: int) -> None:
    """Columns that are not given are null. Of a log some rows stand there twice."""
    arrays = [pa.array(columns[c.name]) if c.name in columns else pa.nulls(n) for c in LANDING[source]]
    arrays = [array.cast(_TYPES[c.type]) for array, c in zip(arrays, LANDING[source], strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(arrays, names=[c.name for c in LANDING[source]])
    if source not in ("ads", "users"):
        table = pa.concat_tables([table, table.slice(0, int(AGAIN * n))])
    pq.write_table(table.combine_chunks(), folder / f"{source}.parquet")


def make_day(
    landing: Path, day: date, impressions: int, ads: int, users: int, hot_ad: float = 0.0, hot_user: int = 0
) -> None:
    """One folder. `hot_ad`: share of the impressions that show the first ad; `hot_user`: impressions of the first."""
    folder = landing / f"day={day}"
    rng = np.random.default_rng(day.toordinal())
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * MICROS
    n = impressions
    shown = np.sort(start + rng.integers(0, 86_400 * MICROS, n))
    ad = (ads * rng.random(n) ** 3).astype(np.int64)  # a few ads are shown often
    user = (users * rng.random(n) ** 2).astype(np.int64)
    ad[rng.random(n) < hot_ad] = 0
    user[rng.permutation(n)[:hot_user]] = 0
    name = ids(f"{day}-", np.arange(n))
    words = np.array([None, "red shoes", "blue coat summer", "phone case"], object)
    write(folder, "impressions", {
        "impression_id": name, "shown_at": shown, "user_id": ids("u", user), "ad_id": ids("a", ad),
        "position": rng.integers(0, 8, n), "query": words[rng.integers(0, 4, n)],
    }, n)  # fmt: skip
    hit = np.flatnonzero(rng.random(n) < CTR)
    clicked = shown[hit] + rng.integers(0, 3_000 * MICROS, len(hit))
    landed = clicked + MICROS
    on_time = (landed < start + 86_400 * MICROS) & (rng.random(len(hit)) >= LATE)
    # What lands after the day goes into the next folder, which reads it from here: a file beside the folders.
    late = pa.table({"impression_id": name.take(pa.array(hit[~on_time])), "clicked_at": clicked[~on_time]})
    before = landing / f"late-{day - timedelta(days=1)}.parquet"
    rows = pa.table({"impression_id": name.take(pa.array(hit[on_time])), "clicked_at": clicked[on_time]})
    rows = pa.concat_tables([rows, pq.read_table(before)]) if before.is_file() else rows
    pq.write_table(late, landing / f"late-{day}.parquet")
    write(folder, "clicks", {
        "impression_id": rows["impression_id"].combine_chunks(), "clicked_at": rows["clicked_at"].combine_chunks(),
        "landed_at": np.maximum(rows["clicked_at"].to_numpy() + MICROS, start),
    }, len(rows))  # fmt: skip
    m = n // 4
    acted = {"user_id": ids("u", rng.integers(0, users, m)), "ad_id": ids("a", rng.integers(0, ads, m))}
    at = start + np.sort(rng.integers(0, 86_400 * MICROS, m))
    write(folder, "behaviours", {**acted, "kind": np.full(m, "view", object), "at": at}, m)
    every = np.arange(ads)
    write(folder, "ads", {
        "ad_id": ids("a", every), "category_id": ids("c", every % 100), "brand_id": ids("b", every % 1_000),
        "shop_id": ids("s", every % 3_000), "price": every % 97 + 0.5, "reviews": every % 1_009,
        "title": words[1:][every % 3],
    }, ads)  # fmt: skip
    people = np.arange(users)
    write(folder, "users", {
        "user_id": ids("u", people), "age_band": ids("age", people % 7), "gender": ids("g", people % 2),
        "region": ids("r", people % 31), "price_sensitivity": ids("p", people % 3),
    }, users)  # fmt: skip


def make(landing: Path, days: Days, impressions: int, hot_ad: float = 0.0, hot_user: int = 0) -> None:
    """All folders of `days`: an ad for each 1,000 impressions of the whole, a user for each 3 of a day."""
    (landing / "images").mkdir(parents=True, exist_ok=True)
    ads, users = max(200, impressions * len(days) // 1_000), max(500, impressions // 3)
    for day in days:
        make_day(landing, day, impressions, ads, users, hot_ad, hot_user)
