"""Draws an ad's picture. Five look factors, each an angle in the world's effects and a visible thing here.

    colour   hue of everything, continuous          texture  of the ground: plain, stripes, checks
    shape    disc, square, triangle, cross          layout   one large thing, two side by side, four in a grid
    clutter  none, few or many small specks

Everything else (turn, offset, brightness, grain) is nuisance. Coordinates run from 0 to 1, so any size will do.
"""

from __future__ import annotations

import colorsys
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEVELS = {"shape": 4, "texture": 3, "layout": 3, "clutter": 3}
SPECKS = (0, 7, 22)
PLACES = (((0.5, 0.5, 0.32),), ((0.27, 0.5, 0.2), (0.73, 0.5, 0.2)),
          ((0.28, 0.28, 0.15), (0.72, 0.28, 0.15), (0.28, 0.72, 0.15), (0.72, 0.72, 0.15)))  # fmt: skip
Plane = NDArray[np.floating]


@dataclass(frozen=True)
class Look:
    """`colour` in [0, 2 pi), the others levels below LEVELS."""

    colour: float
    shape: int
    texture: int
    layout: int
    clutter: int

    def angle(self, factor: str) -> float:
        """The factor as an angle, radians."""
        return self.colour if factor == "colour" else getattr(self, factor) * 2 * np.pi / LEVELS[factor]


def draw(look: Look, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """RGB uint8 [size, size, 3]. `rng` makes the nuisance only."""
    nuisance = rng.uniform(-1, 1, 6)
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid(grid, grid)
    light, hue = 0.86 + 0.06 * nuisance[0], look.colour / (2 * np.pi)
    ground, thing = (
        np.array(colorsys.hsv_to_rgb(hue, s, v), np.float32) for s, v in ((0.45, light), (0.95, light - 0.28))
    )
    shade = 1 - 0.45 * _texture(look.texture, x, y, nuisance[1])
    picture = ground * shade[..., None]
    covered = np.zeros((size, size), bool)
    for cx, cy, radius in PLACES[look.layout]:
        u, v = x - cx - 0.03 * nuisance[2], y - cy - 0.03 * nuisance[3]
        turn = 0.2 * nuisance[4]
        u, v = (u * np.cos(turn) + v * np.sin(turn)) / radius, (v * np.cos(turn) - u * np.sin(turn)) / radius
        covered |= _inside(look.shape, u, v)
    picture[covered] = thing
    half = max(size * 0.022, 0.75)
    for sx, sy, bright in rng.uniform(0, 1, (SPECKS[look.clutter], 3)):
        speck = (np.abs(x - sx) * size < half) & (np.abs(y - sy) * size < half)
        picture[speck] = 0.97 if bright > 0.4 else 0.05
    picture = picture + 0.02 * rng.standard_normal((size, size, 1), dtype=np.float32)
    return np.clip(picture * 255, 0, 255).astype(np.uint8)


def _inside(shape: int, u: Plane, v: Plane) -> NDArray[np.bool_]:
    """Where the shape of radius 1 round the origin is; areas are about equal, so that shape is not mere size."""
    if shape == 0:
        return u * u + v * v < 0.92
    if shape == 1:
        return np.maximum(np.abs(u), np.abs(v)) < 0.85
    if shape == 2:
        return (v < 0.85) & (v > 2.1 * np.abs(u) - 1.15)
    return ((np.abs(u) < 0.42) | (np.abs(v) < 0.42)) & (np.maximum(np.abs(u), np.abs(v)) < 1.1)


def _texture(kind: int, x: Plane, y: Plane, shift: float) -> Plane:
    """0 light, 1 dark; eight periods a side, so that 32 x 32 pixels still show them."""
    if kind == 0:
        return np.full(x.shape, 0.25)
    if kind == 1:
        return ((8 * (x + y) / np.sqrt(2) + 0.5 * shift + 8) % 1 < 0.5).astype(np.float64)
    return (((5 * x + 0.3 * shift + 8) % 1 < 0.5) ^ ((5 * y + 8) % 1 < 0.5)).astype(np.float64)


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
