"""Attention against independent numpy computations of Eq 8 to 11, with and without the category; its gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck

from training.layers.attention import NoAttention
from training.layers.placing import Attentions, Kind

KINDS: list[tuple[Kind, bool]] = [(kind, prior) for kind in ("se", "cbam_channel", "cbam") for prior in (True, False)]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


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


def in_numpy(module: nn.Module, kind: Kind, prior: bool, maps: np.ndarray, category: np.ndarray) -> np.ndarray:
    """Eq 10, 8, 11 and 9 with plain loops over what torch does in one call."""
    w = {name: value.detach().numpy() for name, value in module.named_parameters()}
    channel = {name.removeprefix("channel."): value for name, value in w.items() if not name.startswith("spatial.")}

    def mlp(pooled: np.ndarray) -> np.ndarray:
        joined = np.concatenate([pooled, channel["prior"][category]], 1) if prior else pooled
        hidden = np.maximum(joined @ channel["hidden.weight"].T + channel["hidden.bias"], 0)
        return hidden @ channel["gate.weight"].T + channel["gate.bias"]

    logits = mlp(maps.mean((2, 3)))
    if kind != "se":
        logits = logits + mlp(maps.max((2, 3)))
    out = sigmoid(logits)[:, :, None, None] * maps
    if kind != "cbam":
        return out
    height, width = maps.shape[2:]
    for b in range(len(maps)):
        planes = [out[b].max(0), out[b].mean(0)]
        if prior:
            planes.append(bilinear(w["spatial.prior"][category[b], 0], height, width))
        padded = np.pad(np.stack(planes), ((0, 0), (3, 3), (3, 3)))
        filtered = [
            [(padded[:, y : y + 7, x : x + 7] * w["spatial.filter.weight"][0]).sum() for x in range(width)]
            for y in range(height)
        ]
        out[b] *= sigmoid(np.array(filtered))
    return out


def made(kind: Kind, prior: bool) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    module = Attentions(kind, prior, categories=5, prior_channels=3, prior_size=2, reduction=2)(8, 0, 1).double()
    return module, torch.randn(4, 8, 6, 5, dtype=torch.float64), torch.tensor([1, 4, 0, 4])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kind", "prior"), KINDS)
def test_each_kind_is_its_equations(kind: Kind, prior: bool, layout: torch.memory_format) -> None:
    module, maps, category = made(kind, prior)
    out = module(maps.contiguous(memory_format=layout), category).detach().numpy()
    np.testing.assert_allclose(out, in_numpy(module, kind, prior, maps.numpy(), category.numpy()), atol=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kind", "prior"), KINDS)
def test_gradients_of_the_map_and_of_every_parameter(kind: Kind, prior: bool, layout: torch.memory_format) -> None:
    module, maps, category = made(kind, prior)
    maps = maps[:2, :, :4, :3].contiguous(memory_format=layout).requires_grad_()
    assert gradcheck(lambda *_: module(maps, category[:2]), (maps, *module.parameters()), fast_mode=True)


def test_ties_share_no_gradient_twice() -> None:
    """A flat map's maximum is everywhere; its gradient must still sum to one map's worth."""
    module = Attentions("cbam", False, 1)(4, 0, 1).double()
    maps = torch.ones(1, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    module(maps, torch.tensor([0])).sum().backward()
    step = 1e-6
    with torch.no_grad():
        moved = (module(maps + step, torch.tensor([0])).sum() - module(maps, torch.tensor([0])).sum()) / step
    assert maps.grad is not None
    assert float(maps.grad.sum()) == pytest.approx(float(moved), rel=1e-4)


def test_only_the_last_places_get_attention() -> None:
    for last, wanted in ((None, [1, 1, 1, 1]), (0, [0, 0, 0, 0]), (2, [0, 0, 1, 1]), (9, [1, 1, 1, 1])):
        placed = [Attentions("cbam", True, 5, last=last)(8, place, 4) for place in range(4)]
        assert [int(not isinstance(module, NoAttention)) for module in placed] == wanted


def test_a_missing_category_has_a_prior_of_its_own() -> None:
    """Row 1, unknown, is a row like any other (C12): it learns, and its output is its own."""
    module, maps, _ = made("cbam", True)
    out = module(maps[:1].expand(2, -1, -1, -1), torch.tensor([1, 3]))
    assert not torch.allclose(out[0], out[1])
    out[0].sum().backward()
    gradient = module.channel.prior.grad
    assert gradient[1].any() and not gradient[3].any()
