"""CSCNN: picture and category -> visual vector x_v, on any backbone.

Shapes: B pictures, S pixels a side, V = d_v.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from training.backbones.cnn_f import CNNF
from training.backbones.inception_v1 import InceptionV1
from training.backbones.resnet18 import ResNet18
from training.layers.placing import Attentions
from training.recipes import Recipe

GREY = 128  # the reserved picture
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # torchvision's, of 8-bit colours


def _backbone(recipe: Recipe, categories: int) -> ResNet18 | CNNF | InceptionV1:
    attentions = Attentions(
        recipe.attention, recipe.category_prior, categories, recipe.prior_channels, recipe.prior_size,
        recipe.reduction, last=recipe.attention_layers,
    )  # fmt: skip
    if recipe.backbone == "cnn_f":
        return CNNF(attentions, recipe.width, recipe.image_size)
    if recipe.backbone == "inception_v1":
        return InceptionV1(attentions)
    return ResNet18(attentions, recipe.width)


class CSCNN(nn.Module):
    """uint8 pictures [B, 3, S, S] and category rows [B] -> x_v [B, V], float32.

    The head is one linear layer on the backbone's features (C25).
    """

    def __init__(self, recipe: Recipe, categories: int):
        super().__init__()
        self.backbone = _backbone(recipe, categories)
        self.head = nn.Linear(self.backbone.features, recipe.visual_dimension)
        self.low_precision, self.fixed = recipe.precision == "bfloat16", recipe.cnn_fixed
        for name, module in self.backbone.named_modules():
            if isinstance(module, nn.Conv2d) and "attention" not in name:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        with torch.no_grad():  # x_v starts as small as the embeddings beside it: noise ten times larger drowns them
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()
        self.backbone.requires_grad_(not self.fixed)

    def train(self, mode: bool = True) -> Self:
        """A fixed backbone stays as it serves: BatchNorm's own statistics, no dropout."""
        super().train(mode)
        self.backbone.train(mode and not self.fixed)
        return self

    def pooled(self, pictures_B3SS: Tensor, category_B: Tensor) -> Tensor:
        """The backbone's features, float32 [B, features].

        BatchNorm refuses to learn from one value a channel, and the last maps of small pictures are 1 x 1: a picture
        that is alone in its batch stands there twice.
        """
        if self.training and len(pictures_B3SS) == 1:
            return self.pooled(pictures_B3SS.repeat(2, 1, 1, 1), category_B.repeat(2))[:1]
        x = pictures_B3SS.contiguous(memory_format=torch.channels_last).float()
        mean, deviation = (x.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
        x = (x - mean) / deviation
        with torch.autocast(pictures_B3SS.device.type, torch.bfloat16, enabled=self.low_precision):
            return self.backbone(x, category_B).float()

    def forward(self, pictures_B3SS: Tensor, category_B: Tensor) -> Tensor:
        return self.head(self.pooled(pictures_B3SS, category_B))

    def prior_parameters(self) -> list[nn.Parameter]:
        """A_c and A_s of every layer."""
        return [parameter for name, parameter in self.named_parameters() if name.endswith(".prior")]
