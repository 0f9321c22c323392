"""Both losses of CSCNN by plain numpy, their gradients, and batches that hold one class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from contracts.settings import Settings
from training import losses
from training.recipes import Recipe, tiny
from training.train import train_day


def numpy_pairwise(logits: np.ndarray, labels: np.ndarray, users: np.ndarray | None) -> float:
    """Mean over clicks of the mean over all pairs of a click; a user without others takes everybody's."""
    terms = []
    for click in np.flatnonzero(labels == 1):
        others = np.flatnonzero(labels == 0)
        own = others if users is None else others[users[others] == users[click]]
        gaps = logits[click] - logits[own if len(own) else others]
        terms.append(np.mean(-np.log(1 / (1 + np.exp(-gaps)))))
    return float(np.mean(terms))


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """40 impressions of 12 users; user 0 clicked on all of theirs."""
    random = np.random.default_rng(4)
    users = random.integers(0, 12, 40)
    labels = np.where(users == 0, 1.0, random.random(40) < 0.3)
    return torch.tensor(random.normal(size=40)), torch.tensor(labels), torch.tensor(users)


def test_pointwise_is_equation_1(batch: tuple[torch.Tensor, ...]) -> None:
    logits, labels, _ = batch
    p = 1 / (1 + np.exp(-logits.numpy()))
    wanted = -np.mean(labels.numpy() * np.log(p) + (1 - labels.numpy()) * np.log(1 - p))
    assert float(losses.pointwise(logits, labels)) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("of_users", [True, False])
def test_pairwise_is_equation_14_over_all_pairs_where_they_are_few(
    batch: tuple[torch.Tensor, ...], of_users: bool
) -> None:
    logits, labels, users = batch
    found = losses.pairwise(logits, labels, users if of_users else None, pairs=40)
    wanted = numpy_pairwise(logits.numpy(), labels.numpy(), users.numpy() if of_users else None)
    assert float(found) == pytest.approx(wanted, abs=1e-12)
    assert (users[labels == 1] == 0).any() and not (users[labels == 0] == 0).any()


def test_a_users_own_impressions_go_before_everybodys() -> None:
    logits, labels = torch.tensor([2.0, 1.0, -5.0, 0.5]), torch.tensor([1.0, 0.0, 0.0, 1.0])
    users = torch.tensor([7, 7, 3, 9])  # 9 has no other impression: both others
    softplus = [np.log1p(np.exp(-gap)) for gap in (2 - 1, 0.5 - 1, 0.5 + 5)]
    wanted = (softplus[0] + (softplus[1] + softplus[2]) / 2) / 2
    assert float(losses.pairwise(logits, labels, users)) == pytest.approx(wanted, abs=1e-6)


def test_gradients_are_those_of_finite_differences(batch: tuple[torch.Tensor, ...]) -> None:
    logits, labels, users = (part[:20] for part in batch)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: losses.pointwise(s, labels), (logits,))
    for pairs in (3, 20):
        assert torch.autograd.gradcheck(lambda s, n=pairs: losses.pairwise(s, labels, users, n), (logits,))
        assert torch.autograd.gradcheck(lambda s, n=pairs: losses.pairwise(s, labels, None, n), (logits,))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_is_no_loss_and_no_gradient(label: float) -> None:
    logits = torch.randn(5, requires_grad=True)
    loss = losses.pairwise(logits, torch.full((5,), label), torch.arange(5))
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and not logits.grad.any()


def test_a_click_takes_so_many_pairs_each_once_and_reaches_everybody() -> None:
    """With logits of zero, the gradient of an other counts its pairs: 1/2 each, over pairs and clicks."""
    clicks, others, pairs = 50, 1_000, 16
    labels = torch.cat([torch.ones(clicks), torch.zeros(others)]).double()

    def counts(**how: Any) -> torch.Tensor:
        logits = torch.zeros(clicks + others, dtype=torch.float64, requires_grad=True)
        losses.pairwise(logits, labels, None, pairs, **how).backward()
        assert logits.grad is not None
        assert torch.allclose(logits.grad[:clicks], torch.full((clicks,), -0.5 / clicks, dtype=torch.float64))
        return logits.grad[clicks:] * 2 * pairs * clicks

    assert float(counts().sum()) == pytest.approx(clicks * pairs)
    assert torch.equal(counts(), counts())  # the batch decides
    assert counts().max() <= clicks and (counts() > 0).sum() > 700
    one = [counts(generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(one[0], one[1]) and not torch.equal(one[0], one[2])
    mean = torch.stack([counts(generator=torch.Generator().manual_seed(seed)) for seed in range(200)]).mean(0)
    # An other's share is 50 * 16 / 1000 = 0.8 of a batch, with a standard error of 0.063 over 200.
    assert float((mean - 0.8).abs().max()) < 0.32


def test_it_leaves_the_global_random_state_alone_and_is_no_square() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    logits, labels = torch.zeros(400_000, requires_grad=True), (torch.arange(400_000) % 4 == 0).float()
    # All pairs would be 3e10: 120 GB.
    losses.pairwise(logits, labels, torch.arange(400_000) // 8).backward()
    losses.pairwise(logits, labels, generator=torch.Generator().manual_seed(1)).backward()
    assert torch.equal(before, torch.get_rng_state())


def test_a_logit_that_is_nan_is_seen_even_with_one_class() -> None:
    assert losses.pairwise(torch.tensor([0.0, torch.nan]), torch.zeros(2)).isnan()


def test_a_recipe_trains_by_pairs(make: Callable[..., Settings]) -> None:
    from datetime import date

    from contracts import artifacts

    settings = make(days=8, impressions=600, ads=40)
    chosen: Recipe = tiny().model_copy(update={"name": "pairs", "loss": "pairwise", "epochs": 2})
    figures = artifacts.read(train_day(date(2026, 1, 9), settings, chosen, lambda *_: None)).figures
    assert "train_log_loss" not in figures  # its scores are no probabilities
    assert float(figures["train_auc"]) > 0.55
