"""CSCNN on ResNet18: picture and category -> visual vector x_v.

Built from torchvision's BasicBlock, so that at width 64 with the ImageNet stem names and outputs are torchvision's.
Shapes: B pictures, S pixels a side, V = d_v.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv1x1

from training.layers.attention import CategoryAttention, NoAttention
from training.recipes import Recipe

BLOCKS = (2, 2, 2, 2)  # ResNet18
GREY = 128  # of the reserved picture; normalises to almost zero


class CategoryBlock(BasicBlock):
    """A basic block, attention after each 3x3 convolution (C8): conv, BN, ReLU, module; conv, BN, module, sum."""

    def __init__(self, recipe: Recipe, categories: int, inplanes: int, planes: int, stride: int):
        downsample = None
        if stride != 1 or inplanes != planes:
            downsample = nn.Sequential(conv1x1(inplanes, planes, stride), nn.BatchNorm2d(planes))
        super().__init__(inplanes, planes, stride, downsample)
        self.attention1 = _attention(recipe, planes, categories)
        self.attention2 = _attention(recipe, planes, categories)

    def forward(self, map_BCHW: Tensor, category_B: Tensor) -> Tensor:  # type: ignore[override]
        shortcut = map_BCHW if self.downsample is None else self.downsample(map_BCHW)
        out = self.attention1(self.relu(self.bn1(self.conv1(map_BCHW))), category_B)
        out = self.attention2(self.bn2(self.conv2(out)), category_B)
        return self.relu(out + shortcut)


def _attention(recipe: Recipe, planes: int, categories: int) -> nn.Module:
    if not recipe.category_prior:
        return NoAttention()
    return CategoryAttention(planes, categories, recipe.prior_channels, recipe.prior_size, recipe.reduction)


class CSCNN(nn.Module):
    """uint8 pictures [B, 3, S, S] and category rows [B] -> x_v [B, V], float32.

    The head is one linear layer after global average pooling (C25).
    """

    def __init__(self, recipe: Recipe, categories: int):
        super().__init__()
        self.recipe, width = recipe, recipe.width
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        inplanes = width
        for stage, blocks in enumerate(BLOCKS):
            planes, layer = width * 2**stage, nn.ModuleList()
            for block in range(blocks):
                stride = 2 if block == 0 and stage > 0 else 1
                layer.append(CategoryBlock(recipe, categories, inplanes, planes, stride))
                inplanes = planes
            self.add_module(f"layer{stage + 1}", layer)
        self.head = nn.Linear(inplanes, recipe.visual_dimension)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size != (7, 7):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        with torch.no_grad():  # x_v starts as small as the embeddings beside it: noise ten times larger drowns them
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()

    def pooled(self, pictures_B3SS: Tensor, category_B: Tensor) -> Tensor:
        """Features after global average pooling, [B, 8 * width]."""
        x = (pictures_B3SS.float() - GREY) / 64.0
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        for stage in range(len(BLOCKS)):
            for block in getattr(self, f"layer{stage + 1}"):
                x = block(x, category_B)
        return x.mean((2, 3))

    def forward(self, pictures_B3SS: Tensor, category_B: Tensor) -> Tensor:
        low = self.recipe.precision == "bfloat16"
        with torch.autocast(pictures_B3SS.device.type, torch.bfloat16, enabled=low):
            pooled = self.pooled(pictures_B3SS, category_B)
        return self.head(pooled.float())

    def prior_parameters(self) -> list[nn.Parameter]:
        """A_c and A_s of every layer."""
        return [parameter for name, parameter in self.named_parameters() if name.endswith(".prior")]
