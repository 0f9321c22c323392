"""`adlens gate demo`: seven bad challengers, and the day's own model as a control, through the real gate.

Each gets a home of its own under `<home>/gate-demo/<day>/`: copies of the tables that the gate reads, changed where the
fault lies in them. The champion is the day's own model. Nothing that a day reads is written. At the defaults it takes
some minutes: three of the seven are trained with the day's recipe.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from contracts import artifacts, paths
from contracts.days import Days, parse_day
from contracts.delta_dataset import dataset
from contracts.errors import AdLensError, MissingArtifact
from contracts.settings import Settings, load
from release import delta
from release.judging import bad_challengers as bad
from release.judging import gate, rule
from release.judging.decisions import KIND, read_decision
from release.lookup import lookup_table
from release.publishing.publications import Entry
from serving.checked import digest_of

FOLDER = "gate-demo"
CONTROL = "the same model again (control)"
Change = Callable[[pa.RecordBatch], pa.RecordBatch]


@dataclass(frozen=True)
class Good:
    """The day's decision that said yes: what the bad ones are made from and compared with."""

    day: str
    model: Path
    candidate: Path

    @property
    def days(self) -> list[str]:
        """The days that the model was fitted on."""
        start, end = artifacts.read(self.model).interval or (self.day, self.day)
        return Days(date.fromisoformat(start), date.fromisoformat(end)).texts()

    @property
    def before(self) -> str:
        return (date.fromisoformat(self.day) - timedelta(days=1)).isoformat()


@dataclass(frozen=True)
class Shown:
    """`expected`: whether a yes is right."""

    name: str
    expected: bool
    answer: str
    reasons: list[str]
    seconds: float


def good_day(settings: Settings, day: str | None) -> Good:
    """The latest day, or this one, whose gate said yes. Raises MissingArtifact where there is none."""
    for address in sorted((paths.artifacts(settings) / KIND).glob(f"{day or '*'}/*/manifest.json"), reverse=True):
        decision = read_decision(address)
        if decision["verdict"] == rule.YES:
            return Good(decision["day"], Path(decision["model"]), address.parent / gate.CANDIDATE)
    raise MissingArtifact(
        f"no model {f'of {day} ' if day else ''}has passed the gate in {settings.home_path}: run `adlens day` first, "
        "then `adlens gate demo`"
    )


class Demo:
    """The demonstration's folder: tables copied once, a home for each challenger."""

    def __init__(self, good: Good, settings: Settings):
        self.good, self.settings = good, settings
        self.root = settings.home_path / FOLDER / good.day
        shutil.rmtree(self.root, ignore_errors=True)
        self.tables = self.root / "tables"
        for name in ("bundles", "mlflow", "pictures"):
            (self.root / name).mkdir(parents=True)
        days = {
            "ad_groups": [*good.days, good.day], "ads": [good.before, good.day],
            "ad_features": [good.before], "user_features": [good.before],
        }  # fmt: skip
        for name, wanted in days.items():
            self._copy(name, wanted, self.tables / name)
        digest = digest_of(good.candidate)
        shutil.copytree(good.candidate, self.root / "bundles" / digest)
        self.champion = Entry(
            day=good.before, publication=1, action="publish", bundle=digest, model=str(good.model), table="",
            decision="", reason="the day's own model",
        )  # fmt: skip

    def _copy(self, name: str, days: list[str], to: Path, change: dict[str, Change] | None = None) -> None:
        """Some days of a table, a day at a time; `change`: what is done to the batches of a day."""
        table = delta.opened(paths.table(self.settings, name), "adlens day")
        for day in days:
            rows = dataset(table, [day])
            batches = rows.to_batches()
            if change and day in change:
                batches = bad.changed_batches(batches, change[day])
            write_deltalake(
                str(to), pa.RecordBatchReader.from_batches(rows.schema, batches), mode="append", partition_by=["day"]
            )

    def home(self, name: str, change: dict[str, Change] | None = None) -> Settings:
        """A challenger's own settings; with `change`, its own `ad_groups`."""
        home = self.root / name
        (home / "tables").mkdir(parents=True)
        for shared in ("bundles", "mlflow", "pictures"):
            (home / shared).symlink_to(self.root / shared)
        for table in sorted(self.tables.iterdir()):
            if table.name != "ad_groups" or not change:
                (home / "tables" / table.name).symlink_to(table)
        if change:
            self._copy("ad_groups", [*self.good.days, self.good.day], home / "tables" / "ad_groups", change)
        landing = self.settings.landing_path
        return self.settings.model_copy(update={"home": home, "landing": landing, "tables": None, "mlflow_uri": None})

    def oldest(self) -> pa.Table:
        """The groups of the first day that there is: what the stale features are taken from."""
        groups = DeltaTable(str(self.tables / "ad_groups"))
        for day in self.good.days:
            found = dataset(groups, [day]).to_table()
            if len(found):
                return found
        raise MissingArtifact(f"ad_groups holds none of the days before {self.good.day}")

    def challengers(self) -> dict[str, Callable[[], tuple[Path, Settings]]]:
        """By name: what makes the model and says where it is to be judged."""
        good = self.good

        def tampered(change: Callable[..., None]) -> tuple[Path, Settings]:
            settings = self.home(change.__name__)
            return bad.tampered(good.model, change, settings), settings

        def trained(name: str, change: dict[str, Change]) -> tuple[Path, Settings]:
            settings = self.home(name, change)
            return bad.trained(good.model, settings), settings

        def held_out() -> tuple[Path, Settings]:
            settings = self.home("held_out")
            return bad.trained_on_the_held_out_day(good.model, settings), settings

        def stale() -> tuple[Path, Settings]:
            return good.model, self.home("stale", {good.day: bad.features_of(self.oldest())})

        learnt, every = dict.fromkeys(good.days), dict.fromkeys([*good.days, good.day])
        return {
            "random weights": lambda: tampered(bad.random_weights),
            "shifted labels": lambda: trained("shifted", dict.fromkeys(learnt, bad.labels_shifted)),
            "stale features": stale,
            "categories permuted": lambda: tampered(bad.categories_permuted),
            "over-confident": lambda: tampered(bad.over_confident),
            "trained on the held-out day": held_out,
            "a label leaked into a feature": lambda: trained("leaked", dict.fromkeys(every, bad.label_leaked)),
            CONTROL: lambda: (good.model, self.home("control")),
        }

    def show(self, name: str, make: Callable[[], tuple[Path, Settings]]) -> Shown:
        started = time.monotonic()
        model, settings = make()
        decision = read_decision(gate.run(lookup_table.run(model, settings), settings, self.champion))
        seconds = time.monotonic() - started
        return Shown(name, name == CONTROL, decision["verdict"], decision["reasons"], seconds)


def run(settings: Settings, day: str | None, say: Callable[[str], None]) -> list[Shown]:
    """Every challenger's verdict, told as it comes. Raises MissingArtifact where no day's model has passed the gate."""
    good = good_day(settings, day)
    say(f"champion: the model of {good.day}; every challenger is judged on that day's impressions")
    demo, found = Demo(good, settings), []
    for name, make in demo.challengers().items():
        one = demo.show(name, make)
        found.append(one)
        say(f"\n{one.answer.upper()}  {name}  ({one.seconds:.0f} s)")
        for reason in one.reasons:
            say(f"    {reason}")
    say(f"\nfigures and pictures of each: {demo.root}")
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="adlens gate demo", description=__doc__)
    parser.add_argument("--day", type=parse_day, help="default: the latest day whose model passed the gate")
    asked = parser.parse_args(argv)
    found = run(load(), asked.day.isoformat() if asked.day else None, lambda text: print(text, flush=True))
    wrong = [one.name for one in found if (one.answer == rule.YES) is not one.expected]
    if wrong:
        raise AdLensError(f"the gate was wrong about: {', '.join(wrong)}")
    print(f"{len(found) - 1} bad challengers refused, the control let through")
    return 0
