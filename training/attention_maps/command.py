"""`adlens train attention`: what the category changes in where a model looks.

For the ads that were shown most on a day: the picture, its spatial attention (CSCNN's M_s, Eq 11; mean of the last
layers whose maps are at least 4 x 4, resized) under its own category and as if it were of others, and the differences.
Below, how much the gates of every layer differ between these categories. A_c and A_s begin at random, so that some of
it is there before anything is learnt: compare with a model of a few days.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from contracts import artifacts, paths
from contracts.days import parse_day
from contracts.errors import AdLensError, SettingsError
from contracts.settings import Settings, load
from training.attention_maps.draw import Row, draw
from training.attention_maps.gates import Gates, gates
from training.attention_maps.shown import Ad, most_shown, names
from training.model import LoadedModel, category_rows, load_model
from training.pictures import Pictures

PIXELS = 224  # of a drawn picture
LEAST = 4  # cells a side of a map that still says where


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="adlens train attention", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MANIFEST", type=Path, help="the model's address, as `adlens train` prints it")
    parser.add_argument("--day", required=True, metavar="D", help="of whose groups the ads are taken")
    parser.add_argument("--ads", type=int, default=4)
    parser.add_argument("--others", type=int, default=2, help="other categories for each")
    parser.add_argument("--layers", type=int, default=2, help="last layers whose maps are averaged")
    parser.add_argument("--out", type=Path, metavar="F", help="PNG; default: <home>/attention/<model's day>.png")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    asked = parsed(argv)
    try:
        print(picture(asked, load()))
    except AdLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def picture(asked: argparse.Namespace, settings: Settings) -> Path:
    """Where it was written. Raises SettingsError for a model whose spatial attention is not told the category."""
    if min(asked.ads, asked.others, asked.layers) < 1:
        raise SettingsError("--ads, --others and --layers are at least 1")
    manifest, day = artifacts.read(asked.model), parse_day(asked.day).isoformat()
    loaded = load_model(asked.model.parent)
    ads, categories = most_shown(settings, day, loaded.maps, asked.ads, asked.others)
    told = names(settings, day, [*categories, *(ad.category for ad in ads)])
    rows, first = [], []
    for ad in ads:
        kinds = [ad.category, *[one for one in categories if one != ad.category][: asked.others]]
        found = _gates(loaded, ad, kinds, settings)
        where = [one for one in found if one.spatial_PKHW.shape[-1] >= LEAST][-asked.layers :]
        rows.append(_row(ad, where, [told[one] for one in kinds], settings))
        first.append(found)
    file = asked.out or settings.home_path / "attention" / f"{manifest.day}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    title = f"{loaded.recipe.name} of {manifest.day}, ads of {day}"
    draw(rows, [_together(one) for one in zip(*first, strict=True)], ", ".join(one.name for one in where), title, file)
    return file


def _gates(loaded: LoadedModel, ad: Ad, kinds: Sequence[int], settings: Settings) -> list[Gates]:
    cnn = loaded.net.cnn
    found = []
    if cnn is not None and loaded.recipe.category_prior:
        pixels = Pictures(settings, loaded.recipe.image_size).load([ad.image])
        found = gates(cnn, pixels, category_rows(loaded.maps, kinds))
    if not any(one.spatial_PKHW.shape[-1] >= LEAST for one in found):
        raise SettingsError(
            f"the model's recipe '{loaded.recipe.name}' has no spatial attention of at least {LEAST} x {LEAST} that is "
            "told the category: it needs `attention: cbam`, `category_prior: true` and a larger image_size"
        )
    return found


def _row(ad: Ad, where: Sequence[Gates], categories: Sequence[str], settings: Settings) -> Row:
    with Image.open(paths.images(settings) / f"{ad.image}.jpg") as image:
        shown = np.asarray(image.convert("RGB").resize((PIXELS, PIXELS), Image.Resampling.BILINEAR), np.uint8)
    resized = [F.interpolate(one.spatial_PKHW, size=(PIXELS, PIXELS), mode="bilinear")[0] for one in where]
    return Row(ad.ad_id, shown, torch.stack(resized).mean(0).numpy(), categories)


def _together(of_ads: Sequence[Gates]) -> Gates:
    """One place's, of all the ads."""
    return Gates(
        of_ads[0].name, torch.cat([one.channel_PKC for one in of_ads]), torch.cat([one.spatial_PKHW for one in of_ads])
    )
