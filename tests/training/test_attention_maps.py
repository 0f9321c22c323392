"""Attention pictures: the gates are those that the layers apply, the ads those that were shown most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from deltalake import write_deltalake
from PIL import Image

from contracts import paths
from contracts.errors import InputError
from contracts.hashing import code
from contracts.rows import RowMap
from contracts.settings import Settings
from training.__main__ import main
from training.attention_maps.gates import gates
from training.attention_maps.shown import most_shown, names
from training.cscnn import CSCNN
from training.layers.attention import ChannelAttention, SpatialAttention
from training.reader import open_table
from training.recipes import tiny
from training.train import train_day

Made = Callable[..., Settings]


@pytest.mark.parametrize("backbone, places", [("resnet18", 16), ("cnn_f", 4)])
def test_the_gates_are_what_each_layer_multiplies_its_map_by(backbone: str, places: int) -> None:
    torch.manual_seed(0)
    cnn = CSCNN(tiny().model_copy(update={"backbone": backbone, "image_size": 64}), categories=5).eval()
    pictures = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    found = gates(cnn, pictures, torch.tensor([2, 3, 4]))
    assert len(found) == places
    seen: dict[type, list[tuple[torch.Tensor, torch.Tensor]]] = {ChannelAttention: [], SpatialAttention: []}
    for module in cnn.modules():
        if type(module) in seen:
            module.register_forward_hook(lambda one, inputs, out: seen[type(one)].append((inputs[0], out)))
    with torch.no_grad():
        cnn(pictures, torch.tensor([3, 3]))  # the second of the three categories
    for one, (f, f1), (g, g1) in zip(found, seen[ChannelAttention], seen[SpatialAttention], strict=True):
        torch.testing.assert_close(one.channel_PKC[:, 1, :, None, None] * f, f1, atol=1e-5, rtol=1e-4)  # Eq 8
        torch.testing.assert_close(one.spatial_PKHW[:, 1:2] * g, g1, atol=1e-5, rtol=1e-4)  # Eq 9
        assert one.channel_spread > 0 and one.spatial_spread > 0
    same = gates(cnn, pictures, torch.tensor([3, 3]))
    assert max(one.channel_spread for one in same) < 1e-6


def test_the_ads_shown_most_are_drawn_a_category_each(make: Made) -> None:
    settings, day = make(days=1, impressions=400, ads=30, fresh=4), "2026-01-01"
    known = [code(f"k{number}") for number in range(5)]  # the model lacks k5
    maps = {"category_id": RowMap("category_id", "vocabulary", 100, np.sort(np.array(known)))}
    groups = open_table(paths.table(settings, "ad_groups")).to_pyarrow_dataset().to_table().to_pylist()
    shown: Counter[tuple[str, int]] = Counter()
    for group in groups:
        if group["c_category_id"] in known:
            shown[group["ad_id"], group["c_category_id"]] += len(group["impressions"])
    by_category: Counter[int] = Counter()
    best: dict[int, str] = {}
    for (ad, category), count in sorted(shown.items(), key=lambda one: (-one[1], one[0])):
        by_category[category] += count
        best.setdefault(category, ad)
    ads, categories = most_shown(settings, day, maps, ads=5, others=2)
    assert {ad.category: ad.ad_id for ad in ads} == best and len(ads) == 5
    counts = sorted(by_category.values(), reverse=True)
    assert [by_category[one] for one in categories] == counts[:3]
    assert len(most_shown(settings, day, maps, ads=7, others=2)[0]) == 7  # then second ones
    with pytest.raises(InputError, match="of 5 categories.*at least 1 and 10 are needed"):
        most_shown(settings, day, maps, ads=1, others=9)
    with pytest.raises(InputError, match="holds 0 ads"):
        most_shown(settings, "2026-03-01", maps, ads=1, others=1)


def test_a_category_has_its_name_where_the_catalogue_is_at_hand(tmp_path: Path) -> None:
    settings, shoes = Settings(home=tmp_path), code("shoes")
    assert shoes is not None
    assert names(settings, "2026-01-01", [shoes])[shoes].startswith("category ")
    rows = pa.table({"category_id": ["hats", "shoes", None], "day": ["2026-01-01"] * 3})
    write_deltalake(paths.table(settings, "ads"), rows, partition_by=["day"])
    assert names(settings, "2026-01-01", [shoes]) == {shoes: "shoes"}


def test_from_the_command_to_the_picture(
    make: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    settings = make(days=8, impressions=200, ads=20)
    for name in ("home", "landing", "recipe"):
        monkeypatch.setenv(f"ADLENS_{name.upper()}", str(getattr(settings, name)))
    address = str(train_day(date(2026, 1, 8), settings))
    words = ["train", "attention", address, "--day", "2026-01-08", "--ads", "2"]
    assert main(words) == 0
    file = Path(capsys.readouterr().out.strip())
    assert file == settings.home_path / "attention" / "2026-01-08.png"
    with Image.open(file) as image:
        assert np.asarray(image.convert("RGB")).std() > 20  # not a blank sheet
    assert main([*words, "--layers", "0"]) == 6
    assert "at least 1" in capsys.readouterr().err
    assert main(["train", "attention", str(tmp_path / "none.json"), "--day", "2026-01-08"]) == 5
    plain = train_day(date(2026, 1, 8), settings, tiny().model_copy(update={"category_prior": False}))
    assert main(["train", "attention", str(plain), "--day", "2026-01-08"]) == 6
    assert "needs `attention: cbam`, `category_prior: true`" in capsys.readouterr().err
