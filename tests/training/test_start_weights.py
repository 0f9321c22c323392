"""Start weights of the CNN: torchvision's names, a digest that must fit, and a fixed CNN whose features are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from contracts.artifacts import file_digest
from contracts.errors import DamagedArtifact, SettingsError
from training.cscnn import CSCNN
from training.fixed import AT_ONCE, FixedFeatures
from training.recipes import Recipe, tiny
from training.start_weights import start_from


def net(**update: object) -> CSCNN:
    torch.manual_seed(5)
    return CSCNN(Recipe.model_validate(tiny().model_dump() | update), 4)


def file_of(weights: dict[str, Tensor], folder: Path) -> tuple[Path, str]:
    file = folder / "weights.safetensors"
    safetensors.torch.save_file(weights, file)
    return file, file_digest(file)


def plain(width: int = 8) -> dict[str, Tensor]:
    """As torchvision's network of that width would be saved: no attention, but a classifier."""
    torch.manual_seed(9)
    of_width = Recipe.model_validate(tiny().model_dump() | {"width": width, "attention": "none"})
    weights = CSCNN(of_width, 4).backbone.state_dict()
    return {**weights, "fc.weight": torch.zeros(10, 8 * width), "fc.bias": torch.zeros(10)}


def test_the_backbone_is_the_files_and_attention_and_head_are_not(tmp_path: Path) -> None:
    cnn, before, weights = net(), net().state_dict(), plain()
    start_from(cnn, *file_of(weights, tmp_path))
    for name, value in cnn.state_dict().items():
        own = "attention" in name or name.startswith("head.")
        wanted = before[name] if own else weights[name.removeprefix("backbone.")]
        assert torch.equal(value, wanted), name


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: {name: value for name, value in w.items() if name != "conv1.weight"}, "lacks conv1.weight"),
        (lambda w: {**w, "conv9.weight": torch.zeros(1)}, "has, and the backbone has not, conv9.weight"),
        (lambda w: plain(width=16), "has in another size"),
    ],
)
def test_another_layout_is_refused(tmp_path: Path, change: Callable[..., Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        start_from(net(), *file_of(change(plain()), tmp_path))


def test_another_file_is_refused(tmp_path: Path) -> None:
    file, _ = file_of(plain(), tmp_path)
    with pytest.raises(DamagedArtifact, match="cnn_start_digest is ''"):
        start_from(net(), file, "")
    with pytest.raises(SettingsError, match="is no file"):
        start_from(net(), tmp_path / "absent", "")
    other = tmp_path / "pickle.pt"
    torch.save({"conv1.weight": torch.zeros(1)}, other)
    with pytest.raises(SettingsError, match="is no safetensors file"):
        start_from(net(), other, file_digest(other))


def test_a_fixed_cnn_sees_a_picture_once_and_alone() -> None:
    cnn, asked = net(cnn_fixed=True).train(), []
    assert not any(parameter.requires_grad for parameter in cnn.backbone.parameters())
    assert all(parameter.requires_grad for parameter in cnn.head.parameters())
    assert not any(module.training for module in cnn.backbone.modules())

    def load(images: Sequence[str | None]) -> Tensor:
        asked.append(len(set(images)))
        return torch.stack([torch.full((3, 16, 16), int(image or 0), dtype=torch.uint8) for image in images])

    features = FixedFeatures(cnn, load)
    together = features([("7", 1), ("90", 1), ("7", 2)])
    again = features([("90", 1)])
    assert asked == [2] and torch.equal(again[0], together[1]) and not torch.equal(together[0], together[2])
    alone = FixedFeatures(cnn, load)([("90", 1)])
    assert torch.equal(alone[0], together[1])  # whatever came with it: a resumed run computes the same bits
    small = FixedFeatures(cnn, load, limit=2)
    for pair in (("1", 1), ("2", 1), ("3", 1), ("1", 1)):
        small([pair])
        assert len(small.kept) <= 2
    assert AT_ONCE > 2
