"""A small world by hand: a catalogue, a day's ad groups whose clicks follow a user's click rate, and models whose
quality is set by hand: `sharp` reads that rate from its bin, `dull` half of it, `random` nothing."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from deltalake import write_deltalake
from PIL import Image

from contracts import artifacts, paths
from contracts.features import FEATURES, feature_set, value_type
from contracts.hashing import code
from contracts.rows import RowMap
from contracts.settings import Settings
from release.judging import gate
from release.lookup import lookup_table
from release.publishing import publications, publish
from release.versions import registry
from training.model import CTRModel, save
from training.recipes import recipe

ARROW = {"bigint": pa.int64(), "double": pa.float64(), "array<bigint>": pa.list_(pa.int64())}
VALUES = {"string": pa.string(), "double": pa.float64(), "long": pa.int64(), "array<string>": pa.list_(pa.string())}
RATES = (0.02, 0.1, 0.3, 0.6)  # of a user's clicks: what there is to learn


def arrow_type(feature: Any) -> pa.DataType:
    if feature.kind == "numeric":
        return pa.float64()
    return pa.list_(pa.int64()) if feature.kind in ("multi_hot", "sequence") else pa.int64()


def by_side(*sides: str) -> list[Any]:
    return [f for f in FEATURES if f.side in sides and f.kind != "cross"]


@dataclasses.dataclass
class World:
    settings: Settings

    def catalogue(self, day: str, count: int, first: int = 0) -> list[str]:
        """`count` ads, two of each category and picture; no picture's file exists: the reserved one stands in."""
        ids = [f"ad-{n:03d}" for n in range(first, first + count)]
        rows = pa.table(
            {
                "day": [day] * count,
                "ad_id": ids,
                "category_id": [f"c{n // 2 % 3}" for n in range(first, first + count)],
                "image": [f"{n // 2:064x}" for n in range(first, first + count)],
            }
        )
        self._write("ads", day, rows)
        return ids

    def snapshots(self, day: str, users: int = 60, ads: int = 16, turn: int = 0) -> None:
        """S(day), as the groups of the day after it hold it: a user's rate and gender, an ad's category and price."""
        values = {"user_ctr_7d": lambda n: RATES[(n + turn) % len(RATES)], "gender": lambda _: "f",
                  "category_id": lambda n: f"c{n // 2 % 3}", "price": lambda _: 3.5}  # fmt: skip
        for side, names in (("user", [f"u{n}" for n in range(users)]), ("ad", [f"ad-{n:03d}" for n in range(ads)])):
            columns: dict[str, Any] = {"day": [day] * len(names), f"{side}_id": names}
            for f in by_side(side):
                if f.name != f"{side}_id":
                    own = [values[f.name](n) if f.name in values else None for n in range(len(names))]
                    columns[f.name] = pa.array(own, VALUES[value_type(f)])
            self._write(f"{side}_features", day, pa.table(columns))

    def _write(self, name: str, day: str, rows: pa.Table) -> None:
        address = paths.table(self.settings, name)
        if (Path(address) / "_delta_log").exists():
            write_deltalake(address, rows, mode="overwrite", predicate=f"day = '{day}'")
        else:
            write_deltalake(address, rows, partition_by=["day"])

    def draw(self, name: str, red: int) -> None:
        """The file of a picture."""
        folder = paths.images(self.settings)
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (red, 90, 40)).save(folder / f"{name}.jpg")

    def log(self, day: str, shown: dict[str, int]) -> None:
        """The day's impressions, as many of each ad."""
        ids = [ad for ad, times in shown.items() for _ in range(times)]
        rows = pa.table({"day": [day] * len(ids), "impression_id": [str(n) for n in range(len(ids))], "ad_id": ids})
        write_deltalake(paths.table(self.settings, "impressions"), rows, mode="append", partition_by=["day"])

    def groups(
        self, day: str, users: int = 60, each: int = 20, seed: int = 1, ads: int = 12, clicks: bool = True,
        taste: float = 0.0, turn: int = 0,
    ) -> None:  # fmt: skip
        """`taste`: by how much the logit of a click grows with the category. `turn`: of the users' rates."""
        random = np.random.default_rng(seed)
        struct = pa.struct(
            [("impression_id", pa.string()), ("shown_at", pa.timestamp("us", tz="UTC")), ("position", pa.int32()),
             ("label", pa.int32()), ("user_id", pa.string())]
            + [(f"c_{f.name}", arrow_type(f)) for f in by_side("user", "context")]
        )  # fmt: skip
        schema = pa.schema(
            [("day", pa.string()), ("group_id", pa.string()), ("ad_id", pa.string()), ("image", pa.string())]
            + [(f"c_{f.name}", arrow_type(f)) for f in by_side("ad")]
            + [("impressions", pa.list_(struct))]
        )
        impressions: dict[str, list[dict[str, Any]]] = {}
        moment = datetime.fromisoformat(day).replace(tzinfo=UTC)
        for user in range(users):
            rate = RATES[(user + turn) % len(RATES)]
            for n in range(each):
                number = int(random.integers(ads))
                ad, odds = f"ad-{number:03d}", rate / (1 - rate) * np.exp(taste * (number // 2 % 3 - 1))
                row: dict[str, Any] = {
                    "impression_id": f"{user:03d}-{n:03d}", "shown_at": moment, "position": 0,
                    "label": int(random.random() < odds / (1 + odds)) if clicks else 0, "user_id": f"u{user}",
                    "c_user_ctr_7d": rate, "c_gender": code("f"), "c_hour": code("8"), "c_query_words": [code("red")],
                }  # fmt: skip
                impressions.setdefault(ad, []).append(row)
        rows = [
            {"day": day, "group_id": f"{ad}#0", "ad_id": ad, "image": None, "c_ad_id": code(ad),
             "c_category_id": code(f"c{int(ad[3:]) // 2 % 3}"), "c_price": 3.5, "impressions": those}
            for ad, those in sorted(impressions.items())
        ]  # fmt: skip
        self._write("ad_groups", day, pa.Table.from_pylist(rows, schema=schema))
        self.snapshots((date.fromisoformat(day) - timedelta(days=1)).isoformat(), users, turn=turn)

    def model(
        self, day: str, kind: str = "sharp", interval: tuple[str, str] | None = ("", ""), parent: Path | None = None,
        seed: int = 0, visual: np.ndarray | None = None,
    ) -> Path:  # fmt: skip
        """Address of a finished model manifest; `interval` ("", "") means the ten days before `day`. `visual`: weights
        [d_v] of the picture's vector in the logit."""
        chosen = recipe("tiny")
        features = feature_set(chosen.feature_set)
        maps = {}
        for f in features:
            table: np.ndarray = np.empty(0, np.int64)
            if f.encoding == "bins":
                table = np.array([0.05, 0.2, 0.4], np.float64)
            elif f.encoding == "vocabulary":
                table = np.sort(np.array([code(t) for t in ("c0", "c1", "c2", "f", "8")], np.int64))
            maps[f.name] = RowMap(f.name, f.encoding, f.size, table)
        torch.manual_seed(seed)
        net = CTRModel(chosen, features, maps)
        self._shape(net, features, kind)
        if visual is not None:
            with torch.no_grad():
                net.dcn.out.weight[0, -sum(f.dimension for f in features) - len(visual) :][: len(visual)] = (
                    torch.from_numpy(visual)
                )
        inputs = {"kind": kind, "seed": str(seed), "interval": str(interval), "parent": str(parent)}
        inputs["visual"] = str(visual)
        where = artifacts.fresh(artifacts.folder(paths.artifacts(self.settings), "model", day, inputs))
        save(where, chosen, features, maps, net.eval(), self.settings.time_zone)
        if interval == ("", ""):
            interval = ((date.fromisoformat(day) - timedelta(days=10)).isoformat(), day)
        manifest = artifacts.Manifest(
            kind="model", day=day, key=artifacts.digest(inputs), inputs=inputs, interval=interval,
            parent=str(parent) if parent else None, figures={"recipe": "tiny"},
        )  # fmt: skip
        return artifacts.finish(where, manifest)

    def _shape(self, net: CTRModel, features: Any, kind: str) -> None:
        """Leaves of the model: logit = what the bin of user_ctr_7d says, plus a whisper of everything else."""
        if kind == "random":
            for parameter in net.dcn.parameters():
                torch.nn.init.normal_(parameter, std=0.6)
            return
        logits = torch.tensor([0, -2.0, *np.log(np.array(RATES) / (1 - np.array(RATES)))], dtype=torch.float32)
        if kind == "dull":
            logits = logits.clone()
            logits[2:4], logits[4:6] = logits[2:4].mean(), logits[4:6].mean()
        with torch.no_grad():
            net.dcn.out.weight.mul_(0.02)
            net.dcn.out.bias.zero_()
            at = net.dcn.out.weight.shape[1] - sum(f.dimension for f in features)
            for f in features:
                if f.name == "user_ctr_7d":
                    net.dcn.embedding[f.name].weight[:, 0] = logits
                    net.dcn.out.weight[0, at] = 1.0
                if f.name == "category_id" and kind == "keen":  # sharp, and knows the taste of 1.5
                    codes = np.sort(np.array([code(t) for t in ("c0", "c1", "c2", "f", "8")], np.int64)).tolist()
                    for n in range(3):
                        net.dcn.embedding[f.name].weight[2 + codes.index(code(f"c{n}")), 0] = 1.5 * (n - 1)
                    net.dcn.out.weight[0, at] = 1.0
                at += f.dimension
            for layer in net.dcn.cross:
                for parameter in layer.parameters():
                    parameter.zero_()
            if kind == "nan":
                net.dcn.out.bias.fill_(float("nan"))

    def decide(self, day: str, kind: str, seed: int = 0) -> Path:
        """Address of the gate's decision on a model of that kind."""
        model = self.model(day, kind, ("2026-01-09", day), seed=seed)
        return gate.run(lookup_table.run(model, self.settings), self.settings)

    def release(self, day: str, kind: str, seed: int = 0) -> publications.Entry | None:
        by = publish.By(at=f"{day}T02:00:00")
        return publish.run(self.decide(day, kind, seed), self.settings, by)

    def champion(self) -> str | None:
        """MLflow's version under the alias."""
        return registry.champion(self.settings).version

    def decision(self, address: Path) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((address.parent / "decision.json").read_bytes())
        return read


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for the session: making it takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = registry.client_of(Settings(home=folder, mlflow_uri=uri))
    client.create_experiment(registry.EXPERIMENT, artifact_location=(folder / "artifacts").as_uri())
    return uri


@pytest.fixture
def days(world: World) -> World:
    """Three days that can be released: 2026-01-19, -20 and -21. What is asked of them is not the gate's sharpness."""
    world.settings = world.settings.model_copy(update={"gate_margin": -0.03})
    world.catalogue("2026-01-18", 10)
    world.catalogue("2026-01-21", 14)
    world.groups("2026-01-19", seed=7)
    world.groups("2026-01-21", seed=8)
    return world


@pytest.fixture
def world(tmp_path: Path, mlflow_uri: str) -> World:
    """Catalogues of two days, ten training days' worth of groups in one, and the held-out day 2026-01-20."""
    settings = Settings(
        home=tmp_path / "home", mlflow_uri=mlflow_uri, slot=tmp_path.name, bootstrap_samples=200,
        gate_suspicious_gain=0.2,  # `sharp` is far above `dull`
        gate_gauc_margin=-0.1,  # of 60 users' own AUC a day can tell no less
    )  # fmt: skip
    made = World(settings)
    made.catalogue("2026-01-19", 10)
    made.catalogue("2026-01-20", 12)
    made.groups("2026-01-15", seed=5)
    made.groups("2026-01-20", seed=6)
    return made


@pytest.fixture
def with_champion(world: World) -> World:
    """`dull` was published on the 19th."""
    day = "2026-01-19"
    world.catalogue("2026-01-18", 10)
    world.groups(day, seed=7)
    table = lookup_table.run(world.model(day, "dull", ("2026-01-09", day)), world.settings)
    entry = publish.run(gate.run(table, world.settings), world.settings)
    assert entry is not None and entry.action == "publish", world.settings
    return world
