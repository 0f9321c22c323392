"""Layers against independent numpy computations of Eq 3 to 11, and the counts of Table 2."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from contracts.features import feature_set
from contracts.rows import PADDING, RowMap, fit_hash
from training.cscnn import CSCNN, GREY
from training.dcn import DCN
from training.layers.attention import CategoryAttention, ChannelAttention, SpatialAttention
from training.layers.cross import CrossLayer
from training.optim import RowwiseAdagrad
from training.recipes import production, tiny


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def numbers(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().astype(np.float64) for name, value in module.named_parameters()}


@pytest.fixture
def random() -> np.random.Generator:
    torch.manual_seed(0)
    return np.random.default_rng(0)


def test_channel_attention_is_equation_10_then_8(random: np.random.Generator) -> None:
    module = ChannelAttention(channels=8, categories=5, prior=3)
    nn.init.normal_(module.prior)
    w, maps, category = numbers(module), random.normal(size=(4, 8, 6, 5)), np.array([1, 4, 0, 4])

    def mlp(pooled: np.ndarray) -> np.ndarray:
        joined = np.concatenate([pooled, w["prior"][category]], 1)
        return np.maximum(joined @ w["hidden.weight"].T + w["hidden.bias"], 0) @ w["gate.weight"].T + w["gate.bias"]

    gate = sigmoid(mlp(maps.mean((2, 3))) + mlp(maps.max((2, 3))))
    out = module(torch.tensor(maps, dtype=torch.float32), torch.tensor(category)).detach().numpy()
    np.testing.assert_allclose(out, gate[:, :, None, None] * maps, atol=1e-5)


def bilinear(small: np.ndarray, height: int, width: int) -> np.ndarray:
    """Half-pixel mapping: source = (target + 1/2) * in / out - 1/2, clamped at the edges (C7)."""

    def weights(inside: int, outside: int) -> np.ndarray:
        matrix = np.zeros((outside, inside))
        for at in range(outside):
            source = np.clip((at + 0.5) * inside / outside - 0.5, 0, inside - 1)
            low = int(np.floor(source))
            matrix[at, low] += 1 - (source - low)
            matrix[at, min(low + 1, inside - 1)] += source - low
        return matrix

    return weights(small.shape[0], height) @ small @ weights(small.shape[1], width).T


def test_spatial_attention_is_equation_11_then_9(random: np.random.Generator) -> None:
    module = SpatialAttention(categories=3, prior_size=2)
    nn.init.normal_(module.prior)
    w, maps, category = numbers(module), random.normal(size=(2, 4, 5, 6)), np.array([2, 1])
    out = module(torch.tensor(maps, dtype=torch.float32), torch.tensor(category)).detach().numpy()
    for b in range(2):
        planes = np.stack([maps[b].max(0), maps[b].mean(0), bilinear(w["prior"][category[b], 0], 5, 6)])
        padded = np.pad(planes, ((0, 0), (3, 3), (3, 3)))
        weight = np.array(
            [[(padded[:, y : y + 7, x : x + 7] * w["filter.weight"][0]).sum() for x in range(6)] for y in range(5)]
        )
        np.testing.assert_allclose(out[b], sigmoid(weight) * maps[b], atol=1e-5)


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


def test_full_width_network_is_torchvisions_resnet18() -> None:
    torch.manual_seed(0)
    ours = CSCNN(production().model_copy(update={"category_prior": False, "precision": "float32"}), 4).eval()
    theirs = resnet18(weights=None).eval()
    weights = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    missing, unexpected = ours.load_state_dict(weights, strict=False)
    assert set(missing) == {"head.weight", "head.bias"} and not unexpected
    theirs.fc = nn.Identity()
    pictures = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        pooled = ours.pooled(pictures, torch.tensor([1, 2]))
        wanted = theirs((pictures.float() - GREY) / 64)
    np.testing.assert_allclose(pooled, wanted, atol=1e-4)


def test_table_2s_additional_parameters() -> None:
    """Res18 + CSCNN less Res18: 21.6791M - 17.9961M, which counts no bias (C1) and 36 filter weights a plane (C4)."""
    assert [len(list(production().deep)), production().prior_channels, production().prior_size] == [3, 20, 6]
    count = 0
    for channels in (64, 128, 256, 512):
        module = CategoryAttention(channels, categories=3310)
        assert module.spatial.filter.weight.numel() == 3 * 49
        biases = module.channel.hidden.bias.numel() + module.channel.gate.bias.numel()
        everything = sum(p.numel() for p in module.parameters())
        count += 4 * (everything - biases - 3 * (49 - 36))
    assert count == pytest.approx((21.6791 - 17.9961) * 1e6, abs=100)


def test_attention_follows_each_3x3_convolution_of_the_blocks_only() -> None:
    net = CSCNN(tiny(), 5)
    assert len([m for m in net.modules() if isinstance(m, CategoryAttention)]) == 16
    assert len(net.prior_parameters()) == 32
    assert all(len(p) == 5 for p in net.prior_parameters())


def test_a_category_changes_the_vector_only_where_it_is_asked_for() -> None:
    torch.manual_seed(1)
    pictures, categories = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8), torch.tensor([2, 3])
    pictures[1] = pictures[0]
    for prior, differs in ((True, True), (False, False)):
        net = CSCNN(tiny().model_copy(update={"category_prior": prior}), 5).eval()
        with torch.inference_mode():
            one, two = net(pictures, categories)
        assert (not torch.allclose(one, two, atol=1e-7)) is differs


def test_rowwise_adagrad_touches_the_batchs_rows_only() -> None:
    table = nn.Embedding(4, 2, sparse=True)
    before = table.weight.detach().clone()
    optimiser = RowwiseAdagrad(table.parameters(), rate=0.5, start=0.0)
    (table(torch.tensor([1, 1, 3])) * torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 4.0]])).sum().backward()
    optimiser.step()
    change = (table.weight.detach() - before).numpy()
    # Row 1: g = (2, 4), mean square 10; row 3: g = (0, 4), mean square 8.
    wanted = [[0, 0], [-0.5 * 2 / 10**0.5, -0.5 * 4 / 10**0.5], [0, 0], [0, -0.5 * 4 / 8**0.5]]
    np.testing.assert_allclose(change, np.array(wanted), atol=1e-5)
