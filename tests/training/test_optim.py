"""Row-wise Adagrad by hand."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from training.optim import RowwiseAdagrad


def test_rowwise_adagrad_touches_the_batchs_rows_only() -> None:
    table = nn.Embedding(4, 2, sparse=True)
    before = table.weight.detach().clone()
    optimiser = RowwiseAdagrad(table.parameters(), rate=0.5, start=0.0)
    (table(torch.tensor([1, 1, 3])) * torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 4.0]])).sum().backward()
    optimiser.step()
    change = (table.weight.detach() - before).numpy()
    # Row 1: g = (2, 4), mean square 10; row 3: g = (0, 4), mean square 8.
    wanted = [[0, 0], [-0.5 * 2 / 10**0.5, -0.5 * 4 / 10**0.5], [0, 0], [0, -0.5 * 4 / 8**0.5]]
    np.testing.assert_allclose(change, np.array(wanted), atol=1e-5)
