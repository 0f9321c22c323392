"""The numpy forward pass against a layer-by-layer torch one, written from Eq 3 to 6."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.batch import CodeColumn
from contracts.features import feature_set
from serving.bundle import Bundle, open_bundle
from serving.scorer import Scorer

N = 40


def columns(n: int = N) -> dict[str, CodeColumn]:
    """Codes of every kind, some missing, lists of every length from 0 to the limit."""
    random = np.random.default_rng(8)
    made = {}
    for f in feature_set("daily"):
        if f.kind == "numeric":
            numbers = random.choice([0.2, 0.7, 1.5, 9.0, np.nan], n)
            made[f.name] = CodeColumn(numbers, ~np.isnan(numbers))
        elif f.kind == "categorical":
            made[f.name] = CodeColumn(random.integers(-(2**62), 2**62, n), random.random(n) > 0.2)
        elif f.kind != "cross":
            lists = [random.integers(-(2**62), 2**62, k % (f.limit + 1)).tolist() for k in range(n)]
            made[f.name] = CodeColumn.lists(lists, f.limit)
    return made


def by_torch(bundle: Bundle, rows: dict[str, np.ndarray], visual: np.ndarray) -> np.ndarray:
    w = {name: torch.from_numpy(np.array(a)) for name, a in bundle.weights.items()}
    parts = []
    for f in bundle.features:
        index = torch.from_numpy(rows[f.name])
        if index.ndim == 1:
            parts.append(w[f"embedding.{f.name}.weight"][index])
            continue
        means = []
        for one in index:
            real = one[one != 0]
            vectors = w[f"embedding.{f.name}.weight"][real]
            means.append(vectors.mean(0) if len(real) else torch.zeros(f.dimension))
        parts.append(torch.stack(means))
    x_nv, x_v = torch.cat(parts, 1), torch.from_numpy(np.array(visual))
    h = torch.cat([x_v, torch.relu(torch.nn.functional.linear(x_nv, w["deep.0.weight"], w["deep.0.bias"]))], 1)
    for n in range(1, bundle.info.deep_layers):
        h = torch.relu(torch.nn.functional.linear(h, w[f"deep.{n}.weight"], w[f"deep.{n}.bias"]))
    wide = w["out.weight"].shape[1] - h.shape[1]
    z0 = torch.cat([x_v, x_nv], 1)[:, -wide:]
    z = z0
    for n in range(bundle.info.cross_layers):
        z = z0 * (z @ w[f"cross.{n}.weight"])[:, None] + w[f"cross.{n}.bias"] + z
    logit = torch.nn.functional.linear(torch.cat([h, z], 1), w["out.weight"], w["out.bias"])
    return torch.sigmoid(logit).squeeze(1).numpy()


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"visual": 0},
        {"deep": (16,)},
        {"deep": (32, 16, 8), "cross": 1},
        {"cross": 0},
        {"crossed_visual": False},
    ],
)
def test_equals_torch(make_bundle, shape):
    bundle = open_bundle(make_bundle(**shape))
    scorer = Scorer(bundle)
    rows = scorer.rows(columns())
    visual, known = bundle.table.of([f"ad-{n + 30}" for n in range(N)])
    assert known.sum() == 20
    scores = scorer.score(rows, visual)
    np.testing.assert_allclose(scores, by_torch(bundle, rows, visual), atol=1e-6)
    assert scores.std() > 0.01


def test_a_shared_row_is_the_same_as_a_repeated_one(make_bundle):
    bundle = open_bundle(make_bundle())
    scorer, one = Scorer(bundle), np.zeros(N, np.int64)
    shared = {f.name for f in bundle.features if f.side in ("user", "context")}
    mixed = {name: c.take(one) if name in shared else c for name, c in columns().items()}
    rows = scorer.rows(mixed)
    once = {name: r[:1] if name in shared else r for name, r in rows.items()}
    visual = bundle.table.of([f"ad-{n}" for n in range(N)])[0]
    np.testing.assert_allclose(scorer.score(once, visual), scorer.score(rows, visual), atol=1e-6)


def test_an_item_does_not_depend_on_its_neighbours(make_bundle):
    bundle = open_bundle(make_bundle())
    scorer = Scorer(bundle)
    rows, visual = scorer.rows(columns()), bundle.table.of(["ad-1"] * N)[0]
    alone = [scorer.score({k: r[n : n + 1] for k, r in rows.items()}, visual[n : n + 1])[0] for n in range(N)]
    np.testing.assert_allclose(scorer.score(rows, visual), alone, atol=1e-7)


TIMED = """
import sys, time
from pathlib import Path
import numpy as np
from serving.bundle import open_bundle
from serving.scorer import Scorer
bundle = open_bundle(Path(sys.argv[1]))
scorer, random = Scorer(bundle), np.random.default_rng(1)
rows = {f.name: random.integers(1, bundle.maps[f.name].rows, (1000, f.limit) if f.limit > 1 else 1000)
        for f in bundle.features}
visual = bundle.table.of([f"ad-{n}" for n in range(1000)])[0]
times = []
for _ in range(30):
    began = time.perf_counter()
    scorer.score(rows, visual)
    times.append(time.perf_counter() - began)
print(min(times))
"""


def test_a_thousand_ads_take_milliseconds(make_bundle):
    """2.6 ms where measured; the bound leaves room for a busy machine."""
    folder = make_bundle(visual=16, deep=(128, 64, 32))
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    run = [sys.executable, "-c", TIMED, str(folder)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, env=environment, check=True)
    assert float(done.stdout) < 0.02


def test_layers_that_do_not_fit_are_refused(make_bundle, tmp_path: Path):
    import dataclasses

    from contracts.errors import DamagedArtifact

    bundle = open_bundle(make_bundle())
    for name in ("out.weight", "deep.1.weight", "cross.0.weight", "embedding.ad_id.weight"):
        array = bundle.weights[name]
        short = array[:-1] if array.ndim == 1 or name.startswith("emb") else array[:, :-1]
        wrong = dataclasses.replace(bundle, weights={**bundle.weights, name: short})
        with pytest.raises(DamagedArtifact):
            Scorer(wrong)
        without = {n: a for n, a in bundle.weights.items() if n != name}
        with pytest.raises(DamagedArtifact, match=name):
            Scorer(dataclasses.replace(bundle, weights=without))


@pytest.mark.parametrize(
    "shape", [{}, {"deep": (16,)}, {"deep": (16,), "crossed_visual": False}, {"crossed_visual": False}, {"cross": 0}]
)
@pytest.mark.parametrize("storage", ["fp32", "int8"])
def test_the_weights_absorb_the_way_back(make_bundle, shape, storage):
    """Scoring y with the absorbed weights equals scoring its back-projection with the model's own."""
    import dataclasses

    from serving.table import Codec, VisualTable

    bundle = open_bundle(make_bundle(**shape))
    random = np.random.default_rng(3)
    basis = np.linalg.qr(random.normal(size=(6, 6)))[0][:2].astype(np.float32)
    scales = np.full(2, 0.02, np.float32) if storage == "int8" else None
    codec = Codec(storage, random.normal(size=6).astype(np.float32), basis, scales)
    stored = codec.stored(random.normal(size=(N + 1, 6)).astype(np.float32))
    table = VisualTable(np.arange(N), stored, codec)
    reduced = Scorer(dataclasses.replace(bundle, table=table))
    y = table.of_codes(np.arange(N))[0]
    assert y.shape == (N, 2)
    rows = reduced.rows(columns())
    back = (codec.centre + y @ basis).astype(np.float32)
    np.testing.assert_allclose(reduced.score(rows, y), Scorer(bundle).score(rows, back), atol=1e-6)
    assert np.abs(reduced.score(rows, y) - reduced.score(rows, y * 0)).max() > 1e-3
