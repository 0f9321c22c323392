"""ResNet18 of torchvision's blocks: at width 64 names and outputs are torchvision's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv1x1

from training.layers.placing import Attentions

BLOCKS = (2, 2, 2, 2)
PLACES = 16


class CategoryBlock(BasicBlock):
    """A basic block, attention after each 3x3 convolution (C8): conv, BN, ReLU, module; conv, BN, module, sum."""

    def __init__(self, attentions: Attentions, place: int, inplanes: int, planes: int, stride: int):
        downsample = None
        if stride != 1 or inplanes != planes:
            downsample = nn.Sequential(conv1x1(inplanes, planes, stride), nn.BatchNorm2d(planes))
        super().__init__(inplanes, planes, stride, downsample)
        self.attention1 = attentions(planes, place, PLACES)
        self.attention2 = attentions(planes, place + 1, PLACES)

    def forward(self, map_BCHW: Tensor, category_B: Tensor) -> Tensor:  # type: ignore[override]
        shortcut = map_BCHW if self.downsample is None else self.downsample(map_BCHW)
        out = self.attention1(self.relu(self.bn1(self.conv1(map_BCHW))), category_B)
        out = self.attention2(self.bn2(self.conv2(out)), category_B)
        return self.relu(out + shortcut)


class ResNet18(nn.Module):
    """`width`: channels of the first stage, 64 in the paper. Features: 8 * width, after global average pooling."""

    def __init__(self, attentions: Attentions, width: int = 64):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        inplanes, place = width, 0
        for stage, blocks in enumerate(BLOCKS):
            planes, layer = width * 2**stage, nn.ModuleList()
            for block in range(blocks):
                stride = 2 if block == 0 and stage > 0 else 1
                layer.append(CategoryBlock(attentions, place, inplanes, planes, stride))
                inplanes, place = planes, place + 2
            self.add_module(f"layer{stage + 1}", layer)
        self.features = inplanes

    def forward(self, x: Tensor, category_B: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        for stage in range(len(BLOCKS)):
            for block in getattr(self, f"layer{stage + 1}"):
                x = block(x, category_B)
        return x.mean((2, 3))
