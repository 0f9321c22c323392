"""One Spark session for all Spark tests, and a home folder of its own for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contracts.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def _prepared_home() -> Path:
    """Where set-up put the JARs and Java: ADLENS_HOME, or `.adlens` in the repository."""
    root = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("ADLENS_HOME", root / ".adlens")).resolve()


def link_setup(home: Path) -> None:
    """Give a test's home the JARs and Java that set-up prepared."""
    home.mkdir(parents=True, exist_ok=True)
    for name in ("jars", "java_home", "java"):
        if (_prepared_home() / name).exists() and not (home / name).exists():
            (home / name).symlink_to(_prepared_home() / name)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    from spark_jobs.session import spark_session

    home = tmp_path_factory.mktemp("spark-home")
    link_setup(home)
    session = spark_session(Settings(home=home), "tests")
    # A few rows each: more time goes into compiling a query than into its rows. The end-to-end test compiles.
    for name, value in {
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    }.items():
        session.conf.set(name, value)
    yield session
    session.stop()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A fresh home and a landing folder `landing` that does not exist yet."""
    home = tmp_path / "home"
    link_setup(home)
    return Settings(home=home, landing=tmp_path / "landing")


@pytest.fixture(autouse=True)
def no_tables_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Delta keeps 2 MB of plans a table for an hour: the tables of a few hundred tests would fill the heap."""
    yield
    if "spark" in request.fixturenames:
        request.getfixturevalue("spark")._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()


class LandingFolder:
    """Writes tiny landing days by hand. A row is a tuple in the order of contracts.tables.LANDING; text lines go as
    they are into a .jsonl file."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def picture(self, colour: tuple[int, int, int] = (200, 30, 30)) -> str:
        """A real JPEG under images/; its digest."""
        import hashlib
        import io

        from PIL import Image

        held = io.BytesIO()
        Image.new("RGB", (8, 8), colour).save(held, "JPEG")
        digest = hashlib.sha256(held.getvalue()).hexdigest()
        self.raw_picture(digest, held.getvalue())
        return digest

    def raw_picture(self, digest: str, content: bytes) -> None:
        (self.root / "images").mkdir(parents=True, exist_ok=True)
        (self.root / "images" / f"{digest}.jpg").write_bytes(content)

    def day(self, day: str, **files: list[tuple[object, ...]]) -> Path:
        """The five files as Parquet; a file that is not given has the default ad `a` and user `u`, or no rows."""
        rows: dict[str, list[tuple[object, ...]]] = {
            "ads": [("a", "c1", "b", "s", 1.0, "red shoes", 3, None)],
            "users": [("u", "25-34", "f", "north", "low")],
            "impressions": [],
            "clicks": [],
            "behaviours": [],
            **files,
        }
        for source, one in rows.items():
            self.parquet(day, source, one)
        return self.root / f"day={day}"

    def parquet(self, day: str, source: str, rows: list[tuple[object, ...]]) -> Path:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from contracts.tables import LANDING

        kinds = {
            "string": pa.string(),
            "timestamp": pa.timestamp("us", "UTC"),
            "int": pa.int32(),
            "long": pa.int64(),
            "double": pa.float64(),
        }
        schema = pa.schema([(one.name, kinds[one.type]) for one in LANDING[source]])
        named = [dict(zip(schema.names, row, strict=True)) for row in rows]
        path = self.root / f"day={day}" / f"{source}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(named, schema), path)
        return path

    def lines(self, day: str, source: str, *lines: str | bytes) -> Path:
        """As .jsonl, in place of the Parquet file."""
        (self.root / f"day={day}" / f"{source}.parquet").unlink(missing_ok=True)
        path = self.root / f"day={day}" / f"{source}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join((x.encode() if isinstance(x, str) else x) + b"\n" for x in lines))
        return path


@pytest.fixture
def landing(settings: Settings) -> LandingFolder:
    return LandingFolder(settings.landing_path)
