"""Visual vectors of (picture, category) pairs; what the same CNN has computed before is taken from a cache.

The cache is one file per CNN, `<home>/pictures/vectors/<cnn digest>.safetensors`: a pair under an unchanged CNN has an
unchanged vector, so a catalogue that repeats for the most part costs only its new pictures.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from contracts.artifacts import digest
from contracts.paths import images
from contracts.settings import Settings
from release.candidate import MODEL_ROWS, MODEL_WEIGHTS, model_config
from training.model import embed_pictures

Pair = tuple[str | None, int | None]  # picture's digest, category's code
FALLBACK: Pair = (None, None)  # what training shows the model for an ad that it does not know yet
KEPT_CNNS = 4  # cache files; older ones are removed


@dataclass(frozen=True)
class Embedded:
    """`vectors`: float32 [len(pairs), d_v], in the order of the pairs."""

    vectors: NDArray[np.float32]
    computed: int
    reused: int


def cnn_digest(model: Path) -> str:
    """Digest of all that a vector depends on besides the picture: CNN weights, category rows, recipe."""
    weights = load_file(model / MODEL_WEIGHTS)
    total = hashlib.sha256()
    for name in sorted(n for n in weights if n.startswith("cnn.")):
        total.update(name.encode())
        total.update(np.ascontiguousarray(weights[name]).tobytes())
    rows = load_file(model / MODEL_ROWS)
    if "category_id" in rows:
        total.update(np.ascontiguousarray(rows["category_id"]).tobytes())
    total.update(digest(model_config(model)["recipe"]).encode())
    return total.hexdigest()


def embedded(model: Path, pairs: Sequence[Pair], settings: Settings) -> Embedded:
    """Vectors of distinct pairs. A picture whose file is not there gets the reserved one, and is not cached."""
    path = settings.home_path / "pictures" / "vectors" / f"{cnn_digest(model)[:32]}.safetensors"
    cached = _read(path)
    keys = [_key(pair) for pair in pairs]
    new = [at for at, key in enumerate(keys) if key not in cached]
    if new:
        fresh = embed_pictures(model, [pairs[at] for at in new], settings)
        cached.update({keys[at]: vector for at, vector in zip(new, fresh, strict=True)})
        kept = {key: vector for key, vector in cached.items() if _may_keep(key, settings)}
        _write(path, kept)
    width = len(next(iter(cached.values()))) if cached else 0
    vectors = np.array([cached[key] for key in keys], np.float32).reshape(len(keys), width)
    return Embedded(vectors, len(new), len(keys) - len(new))


def _key(pair: Pair) -> str:
    image, category = pair
    return f"{image or ''}:{'' if category is None else category}"


def _may_keep(key: str, settings: Settings) -> bool:
    image = key.split(":")[0]
    return not image or (images(settings) / f"{image}.jpg").is_file()


def _read(path: Path) -> dict[str, NDArray[np.float32]]:
    """Key -> vector; empty where there is no cache, or one that cannot be read (it is made again)."""
    try:
        arrays = load_file(path)
        keys = arrays["keys"].tobytes().decode().split("\n")
        return dict(zip(keys, arrays["vectors"], strict=True))
    except (OSError, SafetensorError, KeyError, ValueError):
        return {}


def _write(path: Path, cached: dict[str, NDArray[np.float32]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(cached).encode()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    save_file({"keys": np.frombuffer(text, np.uint8), "vectors": np.stack(list(cached.values()))}, draft)
    os.replace(draft, path)
    files = sorted(path.parent.glob("*.safetensors"), key=lambda file: file.stat().st_mtime_ns)
    for old in files[:-KEPT_CNNS]:
        old.unlink(missing_ok=True)
