"""The modified DCN against independent numpy computations of Eq 3 to 7."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from contracts.features import feature_set
from contracts.rows import PADDING, RowMap, fit_hash
from training.dcn import DCN
from training.layers.cross import CrossLayer


def numbers(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().astype(np.float64) for name, value in module.named_parameters()}


@pytest.fixture
def random() -> np.random.Generator:
    torch.manual_seed(0)
    return np.random.default_rng(0)


def test_cross_layer_is_equation_5(random: np.random.Generator) -> None:
    layer = CrossLayer(3)
    nn.init.normal_(layer.bias)
    w, start, z = numbers(layer), random.normal(size=(2, 3)), random.normal(size=(2, 3))
    wanted = [np.outer(start[n], z[n]) @ w["weight"] + w["bias"] + z[n] for n in range(2)]
    out = layer(torch.tensor(start, dtype=torch.float32), torch.tensor(z, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(out, wanted, atol=1e-5)


def small_maps() -> tuple[list, dict[str, RowMap]]:
    features = list(feature_set("daily"))
    return features, {f.name: fit_hash(f) for f in features}


@pytest.mark.parametrize("crossed", ["non_visual", "all"])
def test_dcn_is_equations_3_to_6(random: np.random.Generator, crossed: str) -> None:
    features, maps = small_maps()
    net = DCN(features, maps, visual=3, deep=(7, 6, 5), cross_layers=2, cross_input=crossed)
    w, rows = numbers(net), {}
    for f in features:
        shape = (4,) if f.kind in ("categorical", "numeric", "cross") else (4, f.limit)
        rows[f.name] = random.integers(0, maps[f.name].rows, shape)
        if len(shape) == 2:
            rows[f.name][:, 2:] = PADDING
            rows[f.name][0] = PADDING  # an impression without any
    x_v = random.normal(size=(4, 3))
    parts = []
    for f in features:
        vectors = w[f"embedding.{f.name}.weight"][rows[f.name]]
        if vectors.ndim == 3:
            real = (rows[f.name] != PADDING)[:, :, None]
            vectors = (vectors * real).sum(1) / np.maximum(real.sum(1), 1)
        parts.append(vectors)
    x_nv = np.concatenate(parts, 1)
    h = np.concatenate([x_v, np.maximum(x_nv @ w["deep.0.weight"].T + w["deep.0.bias"], 0)], 1)
    for n in (1, 2):
        h = np.maximum(h @ w[f"deep.{n}.weight"].T + w[f"deep.{n}.bias"], 0)
    z0 = z = x_nv if crossed == "non_visual" else np.concatenate([x_v, x_nv], 1)
    for n in range(2):
        z = z0 * (z @ w[f"cross.{n}.weight"])[:, None] + w[f"cross.{n}.bias"] + z
    wanted = (np.concatenate([h, z], 1) @ w["out.weight"].T + w["out.bias"])[:, 0]
    tensors = {name: torch.tensor(value) for name, value in rows.items()}
    out = net(tensors, torch.tensor(x_v, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(out, wanted, atol=1e-4)


def test_weights_are_named_as_the_bundle_says() -> None:
    features, maps = small_maps()
    names = set(DCN(features, maps, 3, (8, 4), 2).state_dict())
    wanted = {f"embedding.{f.name}.weight" for f in features} | {"out.weight", "out.bias"}
    wanted |= {f"{kind}.{n}.{part}" for kind in ("deep", "cross") for n in (0, 1) for part in ("weight", "bias")}
    assert names == wanted
