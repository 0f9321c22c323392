"""A person is gone from every table and file, also when the folder lands again and wherever the run was killed."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import functions as F

from adlens.erase import erase_user, main, why_left
from benchmarks.faults.boundaries import attempt
from contracts import erasures
from contracts.artifacts import Manifest
from contracts.days import Days
from contracts.delta_dataset import dataset
from contracts.settings import Settings
from release.versions.repeating import repeatable
from spark_jobs import delta, erase, feast_store, impressions, maintain, online_erase

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    LandingFolder = Any

HER, OTHER = "user-7f3", "user-7f31"  # the one is the beginning of the other
DAYS = Days.parse("2026-01-01", "2026-01-03")
SECOND = "2026-01-02"
ASKED = dt.datetime(2026, 2, 1, 9, tzinfo=dt.UTC)


def fill(landing: LandingFolder) -> None:
    """Two days of both people on ids that repeat every day, with clicks of both, late ones and set-aside rows."""
    for day in (1, 2):
        noon = dt.datetime(2026, 1, day, 12, tzinfo=dt.UTC)
        minute = dt.timedelta(minutes=1)
        shown = [(f"i{n}", noon, HER if n % 2 == day % 2 else OTHER, "a", n, None) for n in range(6)]
        shown.append(("unknown-ad", noon, HER, "no such ad", 0, None))
        clicks = [(f"i{n}", noon + 5 * minute, noon + 5 * minute) for n in range(4)]
        clicks += [("i4", noon - 5 * minute, noon), ("gone", noon, noon)]  # one before its impression, one of nobody
        if day == 2:  # of day 1
            clicks.append(("i5", noon - dt.timedelta(days=1) + 9 * minute, noon))
        landing.day(
            f"2026-01-0{day}", impressions=shown, clicks=clicks,
            behaviours=[(p, "a", "view", noon) for p in (HER, OTHER)],
            users=[(HER, "25-34", "f", "north", "low"), (OTHER, None, "m", "south", None)],
        )  # fmt: skip
    lines = (f'{{"user_id": "{HER}", "ad_id": 7, "kind":', f'{{"user_id": "{OTHER}", "ad_id": 7, "kind":')
    landing.lines("2026-01-02", "behaviours", *lines, f'{{"user_id": "{OTHER}", "ad_id": "a", "kind": "view", '
                  '"at": "2026-01-02T12:00:00Z"}')  # fmt: skip


def values(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for part in value.values():
            yield from values(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from values(part)
    elif value is not None:
        yield value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def content(file: Path) -> Iterator[str]:
    """Every value of a Parquet or SQLite file, and any file's bytes."""
    yield file.read_bytes().decode("utf-8", errors="replace")
    if file.suffix == ".parquet":
        yield from values(pq.ParquetFile(file).read().to_pylist())
        yield str(pq.read_metadata(file).to_dict())
    elif file.suffix == ".db":
        with sqlite3.connect(file) as opened:
            for (table,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                yield from values(opened.execute(f'SELECT * FROM "{table}"').fetchall())


def mentions(home: Path, user_id: str) -> list[str]:
    found = []
    for file in sorted(one for one in home.rglob("*") if one.is_file() and not one.is_symlink()):
        if any(part.is_symlink() for part in file.parents if part.is_relative_to(home)):
            continue  # JARs and Java
        if any(user_id in text.replace(OTHER, "") for text in content(file)):
            found.append(str(file.relative_to(home)))
    return found


def rows(settings: Settings, name: str) -> list[dict[str, Any]]:
    return dataset(DeltaTable(delta.address(settings, name))).to_table().to_pylist()


def derive(spark: SparkSession, settings: Settings) -> None:
    """The published tables (as the staged ones), and by hand a snapshot and groups of day 2."""
    root = settings.home_path / "tables"
    for table in (root / "staged").iterdir():
        shutil.copytree(table, root / table.name)
    shown = [row for row in rows(settings, "impressions") if row["day"] == SECOND]
    lists = {who: [{"impression_id": row["impression_id"], "user_id": row["user_id"], "ad_id": "a"} for row in shown
                   if who in ("both", row["user_id"])] for who in (HER, OTHER, "both")}  # fmt: skip
    stamp = "2026-01-03T00:00:00Z"
    made: dict[str, list[dict[str, Any]]] = {
        "user_features": [{"user_id": who, "event_timestamp": stamp, "created": stamp} for who in (HER, OTHER)],
        "user_groups": [{"group_id": who, "user_id": who, "impressions": lists[who]} for who in (HER, OTHER)],
        "ad_groups": [{"group_id": who, "ad_id": "a", "impressions": lists[who]} for who in (HER, "both")],
    }
    for name, held in made.items():
        ddl = delta.declaration(name, settings).ddl.replace(" NOT NULL", "")
        lines = [(json.dumps({"day": SECOND, **row}),) for row in held]
        frame = (
            spark.createDataFrame(lines, "line string").select(F.from_json("line", ddl).alias("row")).select("row.*")
        )
        delta.write_days(spark, settings, name, frame, [SECOND])


def serve_online(settings: Settings) -> None:
    """Feast's SQLite store with a value of each person, as `materialise` configures it."""
    import pandas
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.repo_config import RepoConfig
    from feast.types import String

    home = settings.home_path / "feast"
    home.mkdir()
    config = {
        "project": "adlens", "provider": "local", "entity_key_serialization_version": 3,
        "registry": {"registry_type": "sql", "path": f"sqlite:///{home / 'registry.db'}"},
        "online_store": {"type": "sqlite", "path": str(home / "online.db")},
    }  # fmt: skip
    (home / "online.yaml").write_text(json.dumps(config))
    store = FeatureStore(config=RepoConfig(**config))
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    source = FileSource(name="none", path=str(home / "none.parquet"), timestamp_field="event_timestamp")
    schema = [Field(name="user_id", dtype=String), Field(name="gender", dtype=String)]
    view = FeatureView(name="user_features", entities=[user], schema=schema, source=source)
    with feast_store.quiet():
        store.apply([user, view])
        people = {"user_id": [HER, OTHER], "gender": ["f", "m"], "event_timestamp": [pandas.Timestamp(ASKED)] * 2}
        store.write_to_online_store("user_features", pandas.DataFrame(people))


@pytest.mark.slow
def test_nothing_of_a_person_is_left(spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.spark.conftest import LandingFolder

    settings = settings.model_copy(update={"landing": settings.home_path / "landing", "max_quarantined_share": 1.0})
    fill(LandingFolder(settings.landing_path))
    impressions.run(spark, settings, DAYS)
    derive(spark, settings)
    serve_online(settings)
    (settings.landing_path / "generator.json").write_text("{}")
    log = settings.home_path / "logs" / "day.log"
    log.parent.mkdir()
    log.write_text(f"scored {HER}: 0.1, {OTHER}: 0.2\n")
    page = settings.home_path / "gx" / "sample.html"
    page.parent.mkdir()
    page.write_text(f"<td>{HER}</td>")
    assert len(mentions(settings.home_path, HER)) > 20
    before = {name: DeltaTable(delta.address(settings, name)).version() for name in ("ad_groups", "user_features")}
    manifest = Manifest(kind="model", day="2026-01-03", key="k", inputs={}, interval=("2026-01-02", "2026-01-03"),
                        versions=before)  # fmt: skip
    assert repeatable(manifest, settings) is None
    others = [row for row in rows(settings, "clicks") if row["day"] == "2026-01-02"]

    assert erase_user(spark, settings, "user-7", ASKED, "a test") == [
        "no trace of this user: nothing was done, and nothing recorded"
    ]
    with monkeypatch.context() as patch:  # killed before its fourth table
        real, calls = erase.Person.remove, iter(range(1, 99))

        def remove(self: Any, name: str, days: list[str]) -> None:
            if next(calls) == 4:
                raise KeyboardInterrupt
            real(self, name, days)

        patch.setattr(erase.Person, "remove", remove)
        with pytest.raises(KeyboardInterrupt):
            erase_user(spark, settings, HER, ASKED, "a test")
    for statement in ("DELETE FROM", "UPDATE"):  # killed between the groups that are hers alone and those with others'
        at = f"{statement} delta.`{delta.address(settings, 'ad_groups')}`"
        assert attempt(lambda: erase_user(spark, settings, HER, ASKED, "a test"), 0, at)
    said = erase_user(spark, settings, HER, ASKED, "a test")
    assert "was erased before, asked for at 2026-02-01 09:00 UTC" in said
    done = {name: DeltaTable(delta.address(settings, name)).version() for name in maintain.tables(settings)}
    again = erase_user(spark, settings, HER, ASKED, "a test")
    assert "nothing of this user is left to remove" in again
    assert done == {name: DeltaTable(delta.address(settings, name)).version() for name in maintain.tables(settings)}
    assert len(erasures.read(settings)) == 1 and erasures.read(settings)[0].person == erasures.person_of(HER)

    # What is the other's stays: by hand from fill(). On day 1 HER impressions are i1 i3 i5, on day 2 i0 i2 i4.
    kept = {(row["day"], row["impression_id"], row["label"]) for row in rows(settings, "impressions")}
    first, second = "2026-01-01", SECOND
    assert kept == {(first, "i0", 1), (first, "i2", 1), (first, "i4", 0), (second, "i1", 1), (second, "i3", 1),
                    (second, "i5", 0)}  # fmt: skip
    assert {row["user_id"] for row in rows(settings, "user_features")} == {OTHER}
    clicks = {(row["day"], row["impression_id"]) for row in rows(settings, "clicks")}
    assert {(first, "i0"), (first, "i2"), (second, "i1"), (second, "i3"), (first, "gone")} <= clicks
    assert not {(first, "i1"), (first, "i3"), (second, "i0"), (second, "i2"), (second, "i5")} & clicks
    assert len(others) > sum(day == second for day, _ in clicks)
    assert {(row["source"], OTHER in row["row"]) for row in rows(settings, "quarantine")} >= {("behaviours", True)}
    assert all(row["impressions"] for row in rows(settings, "ad_groups"))
    grouped = [one for row in rows(settings, "ad_groups") for one in row["impressions"]]
    assert {one["user_id"] for one in grouped} == {OTHER} and len(grouped) == 3
    assert log.read_text() == f"scored erased: 0.1, {OTHER}: 0.2\n" and not page.exists()
    assert "before the erasure of a person (2026-02-01)" in str(repeatable(manifest, settings))

    # The folder lands again, and nobody knows that she is erased but the table.
    fill(LandingFolder(settings.landing_path))
    landed_again = impressions.run(spark, settings, DAYS)
    assert landed_again.counts["erased_impressions"] == 8 and landed_again.counts["erased_users"] == 2
    assert landed_again.counts["erased_behaviours"] == 2, "also in the line that cannot be read"
    assert landed_again.counts["erased_clicks"] >= 5
    assert erase_user(spark, settings, HER, ASKED, "a test")[1:2] == ["rows of generated landing files: 22"], (
        "8 + 11 clicks on such ids + 1 + 2"
    )
    landing_lines = settings.landing_path / "day=2026-01-02" / "behaviours.jsonl"
    landing_lines.unlink()  # the generator writes no such lines

    spared = settings.model_copy(update={"vacuum_hours": 0, "log_retention_days": 0})
    maintain.run(spark, spared, Days.parse("2026-01-02"))
    assert mentions(settings.home_path, HER) == []
    assert mentions(settings.home_path, "i0") != [], "the search finds what is there"


def test_an_online_value_goes_from_redis() -> None:
    """Feast's Redis store keeps a hash an entity; the key is Feast's own."""
    from feast.infra.online_stores.helpers import _redis_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    def key(user: str) -> bytes:
        return _redis_key("adlens", EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user)]), 3)

    class Client:
        held = {key(HER): 1, key(OTHER): 2}

        def delete(self, name: bytes) -> int:
            return int(self.held.pop(name, None) is not None)

    client = Client()
    for removed in (1, 0):
        assert online_erase.from_redis(client, "adlens", online_erase.serialized(HER, 3)) == removed
    assert client.held == {key(OTHER): 2}


@pytest.mark.parametrize(
    ("where", "generated", "why"),
    [
        ("home/landing", True, "^$"),  # rewritten
        ("home/landing", False, "^is not written by AdLens$"),
        ("elsewhere", True, r"^was generated, but outside ADLENS_HOME \(.*home\), and is only read$"),
        ("elsewhere", False, "^is not written by AdLens$"),
    ],
)
def test_only_a_generated_folder_inside_the_home_is_rewritten(
    tmp_path: Path, where: str, generated: bool, why: str
) -> None:
    (tmp_path / where).mkdir(parents=True)
    if generated:
        (tmp_path / where / "generator.json").write_text("{}")
    assert re.search(why, why_left(Settings(home=tmp_path / "home", landing=tmp_path / where)))


def test_a_folder_generated_elsewhere_is_not_touched_and_said(
    spark: SparkSession, settings: Settings, landing: LandingFolder
) -> None:
    landing.day("2026-01-01", users=[(HER, "25-34", "f", "north", "low")])
    (landing.root / "generator.json").write_text("{}")
    file = landing.root / "day=2026-01-01" / "users.parquet"
    before = file.read_bytes()
    days = Days.parse("2026-01-01")
    ddl = "day string, user_id string, age_band string, gender string, region string, price_sensitivity string"
    people = spark.createDataFrame([("2026-01-01", HER, None, None, None, None)], ddl)
    delta.write_days(spark, settings, "users", people, days.texts())
    said = erase_user(spark, settings, HER, ASKED, "a test")
    assert "users: 1 rows" in said and file.read_bytes() == before
    assert any("outside ADLENS_HOME" in one and "out of it yourself" in one for one in said)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--asked-at", "noon"], "is no time"), (["--asked-at", "2026-01-01T10:00"], "has no offset"),
     (["--reason", f"{HER} wrote"], "must not name the person")],
)  # fmt: skip
def test_what_is_asked_wrongly(words: list[str], said: str) -> None:
    from contracts.errors import InputError

    with pytest.raises(InputError, match=said):
        main(["user", HER, *words])
