"""The modified Deep & Cross Network, Eq 3 to 6 with reading C23 (a linear logit). Names: contracts.bundle's WEIGHTS.

Shapes: N impressions, V = d_v, D = width of x_nv, L the longest list of a feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from contracts.features import Feature
from contracts.rows import PADDING, RowMap
from training.batch import Shared
from training.layers.cross import CrossLayer


def _he_linear(wide: int, out: int) -> nn.Linear:
    """He's start: PyTorch's own is sqrt(6) times smaller a layer, and products of features are then learnt late."""
    layer = nn.Linear(wide, out)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


class DCN(nn.Module):
    """Rows of embeddings and x_v -> logit [N]."""

    def __init__(
        self,
        features: Sequence[Feature],
        maps: Mapping[str, RowMap],
        visual: int,
        deep: Sequence[int],
        cross_layers: int,
        cross_input: str = "non_visual",
    ):
        """`cross_input`: "non_visual" is Eq 5 as printed, z_0 = x_nv; "all" is z_0 = [x_v, x_nv]."""
        super().__init__()
        self.features = list(features)
        self.embedding = nn.ModuleDict()
        for feature in features:
            table = nn.Embedding(maps[feature.name].rows, feature.dimension, padding_idx=PADDING, sparse=True)
            bound = table.num_embeddings**-0.5  # DLRM's start: rows that many impressions share start larger
            nn.init.uniform_(table.weight, -bound, bound)
            with torch.no_grad():
                table.weight[PADDING] = 0
            self.embedding[feature.name] = table
        non_visual = sum(feature.dimension for feature in features)
        # Eq 3: x_v joins after the first layer, so the second is wider by V.
        inputs = [non_visual, *(width + (visual if at == 0 else 0) for at, width in enumerate(deep))]
        self.deep = nn.ModuleList(_he_linear(wide, out) for wide, out in zip(inputs, deep, strict=False))
        crossed = non_visual + (visual if cross_input == "all" else 0)
        self.cross = nn.ModuleList(CrossLayer(crossed) for _ in range(cross_layers))
        self.out = nn.Linear(inputs[-1] + crossed, 1)
        self.cross_input = cross_input

    def embed(self, rows: Mapping[str, Tensor], shared: Sequence[Shared] = ()) -> Tensor:
        """x_nv [N, D]: a row of a single-valued feature, the mean of the real rows of a list (zeros where none).

        `rows`: [N] or [N, L]. `shared`: rows of other features that several impressions have in common, looked up and
        averaged once, and the index of each impression into them.
        """
        parts: dict[str, Tensor] = {}
        for block, of_N in ((rows, None), *shared):
            own = [feature for feature in self.features if feature.name in block]
            if own:
                x = torch.cat([self.averaged(feature.name, block[feature.name]) for feature in own], 1)
                x = x if of_N is None else x[of_N]
                vectors = x.split([feature.dimension for feature in own], 1)
                parts |= {feature.name: vector for feature, vector in zip(own, vectors, strict=True)}
        return torch.cat([parts[feature.name] for feature in self.features], 1)

    def averaged(self, name: str, index: Tensor) -> Tensor:
        vectors = self.embedding[name](index)
        if index.ndim == 1:
            return vectors
        return vectors.sum(1) / (index != PADDING).sum(1, keepdim=True).clamp(min=1)

    def forward(self, rows: Mapping[str, Tensor], x_v_NV: Tensor | None, shared: Sequence[Shared] = ()) -> Tensor:
        """Logits [N]. `x_v_NV` is None for a model without pictures; `rows` and `shared` as `embed` takes them."""
        x_nv_ND = self.embed(rows, shared)
        x_v_NV = x_nv_ND[:, :0] if x_v_NV is None else x_v_NV
        hidden = torch.cat([x_v_NV, torch.relu(self.deep[0](x_nv_ND))], 1)
        for layer in list(self.deep)[1:]:
            hidden = torch.relu(layer(hidden))
        start = z = torch.cat([x_v_NV, x_nv_ND], 1) if self.cross_input == "all" else x_nv_ND
        for layer in self.cross:
            z = layer(start, z)
        return self.out(torch.cat([hidden, z], 1)).squeeze(1)
