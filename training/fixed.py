"""A CNN that is not trained: a picture goes through it once, and its features are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from training.cscnn import CSCNN

AT_ONCE = 32  # always as many, padded: a picture's features then do not depend on how many came with it
Pair = tuple[str | None, int]  # digest of the picture, row of the category


class FixedFeatures:
    """Features of (picture, category) pairs, 4 bytes a number; at most `limit` pairs, beyond it they are made again."""

    def __init__(self, cnn: CSCNN, load: Callable[[Sequence[str | None]], Tensor], limit: int = 1_000_000):
        self.cnn, self.load, self.limit = cnn, load, limit
        self.kept: dict[Pair, Tensor] = {}

    def __call__(self, pairs: Sequence[Pair]) -> Tensor:
        """float32 [B, features] on the CNN's device."""
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in self.kept]
        if len(self.kept) + len(missing) > self.limit:
            self.kept.clear()
            missing = list(dict.fromkeys(pairs))
        for first in range(0, len(missing), AT_ONCE):
            self._compute(missing[first : first + AT_ONCE])
        return torch.stack([self.kept[pair] for pair in pairs])

    @torch.no_grad()
    def _compute(self, pairs: list[Pair]) -> None:
        whole = pairs + [pairs[-1]] * (AT_ONCE - len(pairs))
        device = self.cnn.head.weight.device
        category_B = torch.tensor([row for _, row in whole], device=device)
        features = self.cnn.pooled(self.load([image for image, _ in whole]).to(device), category_B)
        self.kept.update(zip(pairs, features, strict=False))
