"""Row-wise Adagrad against FBGEMM's definition in plain numpy, through checkpoints, and beside a padding row."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contracts.errors import AdLensError
from contracts.rows import PADDING
from training.optim import RowwiseAdagrad


def embedding(seed: int = 0, rows: int = 50) -> nn.Embedding:
    torch.manual_seed(seed)
    return nn.Embedding(rows, 4, padding_idx=PADDING, sparse=True)


def step(table: nn.Embedding, optimiser: RowwiseAdagrad, number: int) -> tuple[Tensor, Tensor]:
    """One step on a batch of lists that hold padding; returns its rows and their gradients."""
    random = torch.Generator().manual_seed(number)
    rows = torch.randint(0, 20, (16, 3), generator=random)
    slope = torch.randn(16, 3, 4, generator=random)
    optimiser.zero_grad(set_to_none=True)
    (table(rows) * slope).sum().backward()
    optimiser.step()
    return rows, slope


@pytest.mark.parametrize("start", [0.0, 1e-8, 0.1])
def test_it_is_fbgemms_exact_rowwise_adagrad(start: float) -> None:
    table = embedding()
    optimiser = RowwiseAdagrad(table.parameters(), rate=0.3, eps=1e-6, start=start)
    weight, total = table.weight.detach().numpy().astype(np.float64), np.full(50, start)
    for number in range(5):
        rows, slope = (part.numpy() for part in step(table, optimiser, number))
        gradient = np.zeros((50, 4))
        np.add.at(gradient, rows.reshape(-1), slope.reshape(-1, 4))
        gradient[PADDING] = 0
        total += (gradient**2).mean(1)
        weight -= 0.3 * gradient / (np.sqrt(total) + 1e-6)[:, None]
    np.testing.assert_allclose(table.weight.detach().numpy(), weight, atol=2e-6)
    np.testing.assert_allclose(optimiser.state[table.weight]["sum"].numpy(), total, rtol=1e-5)


def test_a_padding_row_gets_neither_gradient_nor_accumulator() -> None:
    table = embedding()
    optimiser = RowwiseAdagrad(table.parameters(), rate=0.5)
    for number in range(4):
        rows, _ = step(table, optimiser, number)
        assert (rows == PADDING).any()
        assert table.weight.grad is not None and PADDING not in table.weight.grad._indices()
    total = optimiser.state[table.weight]["sum"]
    assert not table.weight[PADDING].any() and total[PADDING] == total[49] == torch.tensor(1e-8)  # 49: never in a batch
    assert (total[1:20] > 1e-8).all()


def test_a_resumed_optimiser_is_bit_equal() -> None:
    straight = embedding()
    optimiser = RowwiseAdagrad(straight.parameters(), rate=0.5)
    for number in range(3):
        step(straight, optimiser, number)
    file = io.BytesIO()
    torch.save([straight.state_dict(), optimiser.state_dict()], file)
    file.seek(0)
    weights, state = torch.load(file, weights_only=True)
    resumed = embedding(seed=9)
    resumed.load_state_dict(weights)
    again = RowwiseAdagrad(resumed.parameters(), rate=0.1)
    again.load_state_dict(state)
    for number in range(3, 7):
        step(straight, optimiser, number)
        step(resumed, again, number)
    assert torch.equal(straight.weight, resumed.weight)
    assert torch.equal(optimiser.state[straight.weight]["sum"], again.state[resumed.weight]["sum"])
    assert again.param_groups[0]["lr"] == 0.5


def test_a_checkpoint_before_the_first_step_holds_the_accumulators() -> None:
    table = embedding()
    saved = RowwiseAdagrad(table.parameters(), rate=0.5, start=0.25).state_dict()
    assert torch.equal(saved["state"][0]["sum"], torch.full((50,), 0.25))


def test_a_dense_gradient_is_refused() -> None:
    table = nn.Embedding(5, 4)
    optimiser = RowwiseAdagrad(table.parameters(), rate=0.5)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(AdLensError, match="sparse=True"):
        optimiser.step()
