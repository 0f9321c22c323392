"""Inception V1: torchvision's GoogLeNet (BatchNorm added, 3x3 for its 5x5), by torchvision's names.

The module stands behind conv3 and behind each of the nine Inception blocks, on their concatenated output (own reading:
the place that SE takes in Inception; CSCNN 4.7 only says that the next layer's input is replaced).
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import GoogLeNet

from training.layers.placing import Attentions

LAYERS = (
    "conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3",
    "inception4a", "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4", "inception5a", "inception5b",
)  # fmt: skip
CHANNELS = {
    "conv3": 192, "inception3a": 256, "inception3b": 480, "inception4a": 512, "inception4b": 512, "inception4c": 512,
    "inception4d": 528, "inception4e": 832, "inception5a": 832, "inception5b": 1024,
}  # fmt: skip


class InceptionV1(nn.Module):
    """Features: 1,024, after global average pooling."""

    features = 1024

    def __init__(self, attentions: Attentions):
        super().__init__()
        whole = GoogLeNet(aux_logits=False, transform_input=False, init_weights=False)
        for name in LAYERS:
            self.add_module(name, getattr(whole, name))
        places = enumerate(CHANNELS.items())
        self.attentions = nn.ModuleDict({name: attentions(wide, at, len(CHANNELS)) for at, (name, wide) in places})

    def forward(self, x: Tensor, category_B: Tensor) -> Tensor:
        for name in LAYERS:
            x = getattr(self, name)(x)
            if name in CHANNELS:
                x = self.attentions[name](x, category_B)
        return x.mean((2, 3))
