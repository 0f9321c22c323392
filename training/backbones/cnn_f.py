"""CNN-F, five convolutions and fully connected layers, as DVBPR's code shapes it (CSCNN 4.1, reading C15).

With the head of K outputs it has 70,778,724 weights at 224 pixels and K = 100.
"""

from __future__ import annotations

from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.layers.placing import Attentions

PLACES = 4  # conv2 ... conv5


class CNNF(nn.Module):
    """`width`: channels of the first convolution, 64 in the paper. `size`: pixels a side. Features: 64 * width."""

    def __init__(self, attentions: Attentions, width: int = 64, size: int = 224):
        super().__init__()
        wide = 4 * width
        self.conv1 = nn.Conv2d(3, width, 11, stride=4)
        inputs = (width, wide, wide, wide)
        self.convs = nn.ModuleList(
            nn.Conv2d(inside, wide, 5 if at == 0 else 3, padding="same") for at, inside in enumerate(inputs)
        )
        self.attentions = nn.ModuleList(attentions(wide, place, PLACES) for place in range(PLACES))
        side = ceil(size / 4)
        for _ in range(3):
            side = ceil(side / 2)
        self.features = 64 * width
        self.fc6 = nn.Linear(wide * side * side, self.features)
        self.fc7 = nn.Linear(self.features, self.features)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor, category_B: Tensor) -> Tensor:
        x = _pool(torch.relu(self.conv1(_same(x, 11, 4))))
        for place, (conv, attention) in enumerate(zip(self.convs, self.attentions, strict=True)):
            x = attention(torch.relu(conv(x)), category_B)  # C8: conv, ReLU, module, pool
            if place in (0, PLACES - 1):
                x = _pool(x)
        x = self.dropout(torch.relu(self.fc6(x.flatten(1))))
        return self.dropout(torch.relu(self.fc7(x)))


def _same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pads with zeros so that the output has ceil(S / stride) pixels a side, the odd one at the right and below."""
    missing = max(0, (ceil(x.shape[2] / stride) - 1) * stride + kernel - x.shape[2])
    return F.pad(x, (missing // 2, missing - missing // 2) * 2)


def _pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, ceil_mode=True)
