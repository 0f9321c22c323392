"""A bundle by hand: random weights in every place, every kind of feature."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from contracts.artifacts import file_digest
from contracts.bundle import FORMAT, INFO, TABLE, BundleInfo
from contracts.features import FEATURE_SETS, feature_set
from contracts.hashing import code
from contracts.rows import RowMap, describe, to_arrays
from serving.table import VisualTable

MakeBundle = Callable[..., Path]


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """make_bundle(visual=6, deep=(16, 8), cross=3, crossed_visual=True) -> folder, named by its digest."""

    def make(visual: int = 6, deep: tuple[int, ...] = (16, 8), cross: int = 3, crossed_visual: bool = True) -> Path:
        random = np.random.default_rng(5)
        features = feature_set("daily")
        maps = {}
        for f in features:
            table: np.ndarray = np.empty(0, np.int64)
            if f.encoding == "bins":
                table = np.array([0.5, 1.0, 2.0])
            elif f.encoding == "vocabulary":
                table = np.sort(random.integers(-(2**62), 2**62, 30))
            maps[f.name] = RowMap(f.name, f.encoding, f.size, table)

        def normal(*shape: int) -> np.ndarray:
            return random.normal(0, 0.3, shape).astype(np.float32)

        weights = {f"embedding.{f.name}.weight": normal(maps[f.name].rows, f.dimension) for f in features}
        wide = sum(f.dimension for f in features)
        total = wide + (visual if crossed_visual else 0)
        for n, out in enumerate(deep):
            weights[f"deep.{n}.weight"], weights[f"deep.{n}.bias"] = normal(out, wide), normal(out)
            wide = out + (visual if n == 0 else 0)
        for n in range(cross):
            weights[f"cross.{n}.weight"], weights[f"cross.{n}.bias"] = normal(total) / 4, normal(total)
        weights["out.weight"], weights["out.bias"] = normal(1, wide + total), normal(1)
        draft = tmp_path / "draft"
        draft.mkdir()
        save_file(weights, draft / "weights.safetensors")
        save_file(to_arrays(maps), draft / "rows.safetensors")
        codes = np.sort(np.array([code(f"ad-{n}") for n in range(50)], np.int64))
        VisualTable(codes, normal(51, visual)).save(draft / TABLE)
        info = BundleInfo(
            format=FORMAT, day="2026-01-20", recipe="tiny", feature_set="daily", features=list(FEATURE_SETS["daily"]),
            row_maps=describe(maps), visual_dimension=visual, deep_layers=len(deep), cross_layers=cross,
            time_zone="UTC", model="/m/manifest.json", table="/t/manifest.json",
            files={file.name: file_digest(file) for file in draft.iterdir()},
        )  # fmt: skip
        (draft / INFO).write_text(info.model_dump_json())
        named = tmp_path / "bundles" / hashlib.sha256((draft / INFO).read_bytes()).hexdigest()
        named.parent.mkdir(exist_ok=True)
        os.replace(draft, named)
        return named

    return make
