"""The control: every ad shows another ad's picture, in training and in scoring; a gain is then an accident."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from contracts import paths
from contracts.settings import Settings


def with_shuffled_pictures(settings: Settings, home: Path) -> Path:
    """A landing folder whose pictures are the real ones under permuted names (links); made once, seeded."""
    images = home / "landing" / "images"
    if not images.exists():
        draft = home / "landing" / ".images"
        draft.mkdir(parents=True, exist_ok=True)
        files = sorted(paths.images(settings).glob("*.jpg"))
        order = np.random.default_rng(settings.seed).permutation(len(files))
        for file, other in zip(files, order, strict=True):
            (draft / file.name).unlink(missing_ok=True)
            (draft / file.name).symlink_to(files[other])
        draft.rename(images)
    return home / "landing"
