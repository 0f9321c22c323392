"""`python -m benchmarks.switching [--rounds 1000]`: publishers that switch, roll back and are killed, and readers that
check every read.

Each round is one process: it makes a bundle (or takes one that is there), and switches to it or rolls back; every third
is killed (SIGKILL) at a random moment, and the next one ends what it had begun. Meanwhile each of four readers opens
what is served, over and over, and holds it to three things: it opens; its weights, rows and table are of one and the
same model (each bundle carries a number of its own in all of them); and the publication it sees never goes down. Prints
reads, failed reads, mixtures, steps back, and the time of a switch.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from contracts import paths
from contracts.bundle import FORMAT, ROWS, WEIGHTS
from contracts.errors import InputError
from contracts.settings import Settings
from release.publishing import publications
from release.publishing.candidate import _finished, draft_folder, settle_bundle
from release.publishing.rollback import rollback
from release.publishing.switch import store
from serving.bundle import BundleInfo, open_current
from serving.table import VisualTable

READERS, MODELS = 4, 12
PAUSE = 0.01  # seconds between two reads of a reader, so that publishers have the processor too


@dataclass
class Counts:
    reads: int = 0
    failed: int = 0
    mixtures: int = 0
    steps_back: int = 0
    first_failure: str = ""


def make_bundle(settings: Settings, number: int) -> Path:
    """A small bundle whose weights, row map, table and day all say `number`."""
    from safetensors.numpy import save_file

    from contracts.feature import to_json
    from contracts.features import BY_NAME
    from contracts.rows import RowMap, describe, to_arrays

    feature = BY_NAME["user_ctr_7d"]
    maps = {feature.name: RowMap(feature.name, "bins", feature.size, np.array([float(number)], np.float64))}
    rows = maps[feature.name].rows
    weights = {
        f"embedding.{feature.name}.weight": np.full((rows, feature.dimension), number, np.float32),
        "out.weight": np.zeros((1, feature.dimension), np.float32), "out.bias": np.full(1, number, np.float32),
    }  # fmt: skip
    table = VisualTable(np.arange(2_000, dtype=np.int64), np.full((2_001, 8), number, np.float32))
    with draft_folder(settings) as draft:
        save_file(weights, draft / WEIGHTS)
        save_file(to_arrays(maps), draft / ROWS)
        info = BundleInfo(
            format=FORMAT, day="2026-01-01", recipe=str(number), feature_set="daily", features=[feature.name],
            definitions={feature.name: to_json(feature)}, row_maps=describe(maps), visual_dimension=8, deep_layers=0,
            cross_layers=0, time_zone="UTC", model=f"/model/{number}", table=f"/table/{number}",
        )  # fmt: skip
        _finished(draft, info, table)
        return settle_bundle(draft)


def read_on(settings: Settings, end: Event, where: Path) -> None:
    """A reader's life."""
    counts, newest = Counts(), 0
    while not end.is_set():
        time.sleep(PAUSE)
        counts.reads += 1
        try:
            bundle, pointer = open_current(settings)
            told = float(bundle.info.recipe)
            held = [
                float(bundle.weights["out.bias"][0]), float(bundle.maps["user_ctr_7d"].table[0]),
                float(bundle.table.vectors[0, 0]), float(bundle.table.vectors[-1, -1]),
            ]  # fmt: skip
            counts.mixtures += any(one != told for one in held) or bundle.folder.name != pointer.bundle
            counts.steps_back += pointer.publication < newest
            newest = max(newest, pointer.publication)
        except Exception as error:
            counts.failed += 1
            counts.first_failure = counts.first_failure or f"{type(error).__name__}: {error}"
    where.write_text(json.dumps(asdict(counts)))


def change(settings: Settings, number: int, back: bool, seconds: str) -> None:
    """A publisher's life: one switch or one rollback."""
    publications.settle(settings)
    if back:
        rollback(settings, reason="a round")
        return
    bundle = make_bundle(settings, number)
    seen = store(settings).look()
    log = publications.read(settings, seen)
    last = log[-1] if log else None
    entry = publications.following(
        last, "2026-01-01", day="2026-01-01", action="publish", bundle=bundle.name, model=f"/model/{number}",
        table=f"/table/{number}", decision="", reason="a round", version=str(number), by="benchmark",
    )  # fmt: skip
    began = time.perf_counter()
    publications.switch(settings, seen, entry)
    with open(seconds, "a") as told:
        told.write(f"{time.perf_counter() - began}\n")


def rounds(settings: Settings, count: int, seed: int) -> dict[str, int]:
    """Each round forks: the parent has imported all, as a publisher that is killed in its work has."""
    dice, done = random.Random(seed), {"switches": 0, "rollbacks": 0, "kills": 0, "refused": 0}
    seconds, whole = str(settings.home_path / "seconds"), 0.3
    for n in range(count):
        current = open_current(settings)[1].model.rsplit("/", 1)[-1]
        number = dice.choice([one for one in range(MODELS) if str(one) != current])
        back = n > 10 and dice.random() < 0.25
        child = os.fork()
        if child == 0:
            try:
                change(settings, number, back, seconds)
                os._exit(0)
            except InputError:  # a rollback with nothing to go back to: counted as refused
                os._exit(1)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        began = time.monotonic()
        if n % 3 == 2:  # at any moment of what a round takes
            time.sleep(dice.random() * whole)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if n % 3 != 2:
            whole = 0.8 * whole + 0.2 * (time.monotonic() - began)
        if os.WIFSIGNALED(status):
            done["kills"] += 1
        elif os.waitstatus_to_exitcode(status):
            done["refused"] += 1
        else:
            done["rollbacks" if back else "switches"] += 1
    return done


def measure(count: int, seed: int = 1, home: Path | None = None) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="adlens-switching-") as folder:
        settings = Settings(home=home or Path(folder))
        change(settings, 0, False, os.devnull)
        spawn = multiprocessing.get_context("spawn")
        end = spawn.Event()
        notes = [settings.home_path / f"reader-{n}.json" for n in range(READERS)]
        readers = [spawn.Process(target=read_on, args=(settings, end, note)) for note in notes]
        for reader in readers:
            reader.start()
        began = time.monotonic()
        # A process of its own, without threads, may fork.
        driver = spawn.Process(target=_drive, args=(settings, count, seed))
        driver.start()
        driver.join()
        took = time.monotonic() - began
        end.set()
        for reader in readers:
            reader.join()
        told = [Counts(**json.loads(note.read_text())) for note in notes]
        publications.settle(settings)
        log = publications.logged(settings)
        served = open_current(settings)[1]
        times = sorted(float(line) for line in (settings.home_path / "seconds").read_text().split())
        result: dict[str, object] = json.loads((settings.home_path / "done.json").read_text())
        for name in ("reads", "failed", "mixtures", "steps_back"):
            result[name] = sum(getattr(one, name) for one in told)
        result |= {
            "first_failure": next((one.first_failure for one in told if one.first_failure), ""),
            "publications": len(log), "gaps": int([e.publication for e in log] != list(range(1, len(log) + 1))),
            "log_and_pointer_agree": log[-1].bundle == served.bundle,
            "leftovers": len(list(paths.bundles(settings).glob(".draft-*"))),
            "switch_ms_median": round(1000 * times[len(times) // 2], 1), "switch_ms_most": round(1000 * times[-1], 1),
            "seconds": round(took, 1),
        }  # fmt: skip
        return result


def _drive(settings: Settings, count: int, seed: int) -> None:
    done = rounds(settings, count, seed)
    (settings.home_path / "done.json").write_text(json.dumps(done))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.switching", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(argv)
    result = measure(asked.rounds, asked.seed)
    print(json.dumps(result, indent=2))
    return int(bool(result["failed"] or result["mixtures"] or result["steps_back"] or result["gaps"]))


if __name__ == "__main__":
    raise SystemExit(main())
