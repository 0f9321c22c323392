"""What the lookup table costs.

    python -m benchmarks.lookup_table pace [--recipe daily] [--pictures 2000]     the build against the bare CNN
    python -m benchmarks.lookup_table open [--ads 20000000] [--dimension 16]      opening and touching a large table

`pace`: pictures made and decoded before; the build reads them from the cache, embeds, stores and maps them; the CNN
alone takes tensors that lie ready. The two take turns.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from contracts import paths
from contracts.features import feature_set
from contracts.rows import RowMap
from contracts.settings import Settings
from release.lookup.vectors import Pair, Vectors, key_of
from serving.table import Codec, open_table, table_writer
from training.model import CTRModel, category_rows, load_model, save
from training.pictures import Pictures
from training.recipes import recipe

ROUNDS = 5
AT_ONCE = 64


def pace(name: str, count: int, threads: int) -> None:
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        settings, chosen = Settings(home=Path(folder)), recipe(name)
        features = feature_set(chosen.feature_set)
        maps = {f.name: RowMap(f.name, f.encoding, f.size, np.empty(0, np.int64)) for f in features}
        model = Path(folder) / "model"
        model.mkdir()
        save(model, chosen, features, maps, CTRModel(chosen, features, maps).eval(), "UTC")
        images = paths.images(settings)
        images.mkdir(parents=True)
        random, names = np.random.default_rng(1), [f"{n:064x}" for n in range(count)]
        for one in names:
            small = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
            small.resize((chosen.image_size, chosen.image_size)).save(images / f"{one}.jpg")
        pairs: list[Pair] = [(one, None) for one in names]
        keys = np.array([key_of(pair) for pair in pairs])
        loaded = load_model(model)
        assert loaded.net.cnn is not None
        pixels = Pictures(settings, chosen.image_size).load(names)
        rows = category_rows(loaded.maps, [None] * count)
        took: dict[str, list[float]] = {"bare CNN": [], "build": []}
        for _ in range(ROUNDS + 1):
            began = time.perf_counter()
            with torch.inference_mode():
                for at in range(0, count, AT_ONCE):
                    loaded.net.cnn(pixels[at : at + AT_ONCE], rows[at : at + AT_ONCE])
            took["bare CNN"].append(time.perf_counter() - began)
            vectors = Vectors(model, settings)
            for segment in vectors.folder.glob("*.table"):
                segment.unlink()
            vectors = Vectors(model, settings)
            vectors._loaded = loaded  # reading the model is the stage's, once
            began = time.perf_counter()
            vectors.compute(keys, pairs)
            took["build"].append(time.perf_counter() - began)
        rates = {what: count / statistics.median(times[1:]) for what, times in took.items()}
        for what, rate in rates.items():
            print(f"{what:<9} {rate:10,.0f} pictures/s")
        print(f"ratio     {rates['build'] / rates['bare CNN']:10.3f}")


CHILD = """
import resource, sys, time
from pathlib import Path
import numpy as np
from serving.table import open_table
from benchmarks.lookup_table import resident
open_table(Path(sys.argv[2]))
before = resident()
began = time.perf_counter()
table = open_table(Path(sys.argv[1]))
took = time.perf_counter() - began
print(f"open {1e3 * took:.2f} ms, {resident() - before:.2f} MB more")
random = np.random.default_rng(1)
for asked in (1_000, 100_000):
    codes = table.codes[np.sort(random.integers(0, len(table.codes), asked))]
    began = time.perf_counter()
    table.of_codes(codes)
    print(f"{asked:,} lookups {1e3 * (time.perf_counter() - began):.1f} ms, {resident() - before:.1f} MB more")
"""


def resident() -> float:
    """MB, mapped pages that were touched included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def opening(ads: int, dimension: int) -> None:
    of = Codec("fp16")
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "large.table", Path(folder) / "small.table"
        for path, n in ((large, ads), (small, 10)):
            writer = table_writer(path, of, of.shapes(n, dimension), {})
            writer.arrays["codes"][:] = np.linspace(-(2**63) + 1, 2**63 - 2**11, n).astype(np.int64)
            writer.finish()
        print(f"{ads:,} ads: {large.stat().st_size / 1e9:.2f} GB")
        began = time.perf_counter()
        open_table(large).check()
        print(f"check of every byte {time.perf_counter() - began:.1f} s")
        with large.open("rb") as file:  # out of the page cache: a page in it is mapped with its neighbours
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        subprocess.run([sys.executable, "-c", CHILD, str(large), str(small)], check=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pace", "open"))
    parser.add_argument("--recipe", default="daily")
    parser.add_argument("--pictures", type=int, default=2_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ads", type=int, default=20_000_000)
    parser.add_argument("--dimension", type=int, default=16)
    asked = parser.parse_args(argv)
    if asked.what == "pace":
        pace(asked.recipe, asked.pictures, asked.threads)
    else:
        opening(asked.ads, asked.dimension)
    return 0


if __name__ == "__main__":
    sys.exit(main())
