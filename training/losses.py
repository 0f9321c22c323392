"""The two losses of CSCNN: point-wise (Eq 1, what production trains with) and pair-wise (Appendix A, Eq 14).

Shapes: N impressions of a batch, P clicks, M others, C pairs a click.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PAIRS = 16  # a click: our own choice. BPR draws one triplet a positive; more of them cost N * PAIRS at most, never N^2


def pointwise(logits_N: Tensor, labels_N: Tensor) -> Tensor:
    """CSCNN Eq 1: mean of -y ln sigma(f) - (1 - y) ln(1 - sigma(f)), from logits; sigma(f) is a click rate."""
    return F.binary_cross_entropy_with_logits(logits_N, labels_N)


def pairwise(
    logits_N: Tensor,
    labels_N: Tensor,
    person_N: Tensor | None = None,
    pairs: int = PAIRS,
    generator: torch.Generator | None = None,
) -> Tensor:
    """CSCNN Eq 14 (BPR): mean of -ln sigma(s_i - s_j) over pairs of a clicked and a not clicked impression.

    Readings, as the papers sample triplets from a catalogue and a click log has none: a click is paired with its own
    user's other impressions of the batch (`person_N`, integers), with anybody's where the user has none or
    `person_N` is None. Beyond `pairs` of them it takes as many, evenly spaced over them from a first one that moves
    from click to click, or that `generator` draws: then each pair is as likely as any other. Every click counts the
    same. With one class only the loss is zero, and so are its gradients. Eq 14's regulariser is left out.

    The scores order a user's ads; sigma(s) is no click rate, so log loss and calibration have no meaning.
    """
    clicked = labels_N > 0.5
    clicks_P, others_M = clicked.nonzero().squeeze(1), (~clicked).nonzero().squeeze(1)
    if not len(clicks_P) or not len(others_M):
        return logits_N.sum() * 0  # of the graph, so that backward runs; still NaN where a logit is
    others_M, first_P, count_P = _candidates(clicks_P, others_M, person_N)
    shift_P = _shift(count_P, generator)
    step_C = torch.arange(min(pairs, len(others_M)), device=logits_N.device)
    taken_P = count_P.clamp(max=pairs)[:, None]
    place_PC = first_P[:, None] + (shift_P[:, None] + step_C * count_P[:, None] // taken_P) % count_P[:, None]
    real_PC = step_C < taken_P
    gap_PC = logits_N[clicks_P][:, None] - logits_N[others_M[torch.where(real_PC, place_PC, first_P[:, None])]]
    return (F.softplus(-gap_PC) * real_PC / taken_P).sum() / len(clicks_P)


def _candidates(clicks_P: Tensor, others_M: Tensor, person_N: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Others sorted by user, and of each click where its candidates begin among them and how many they are."""
    nobody = torch.zeros_like(clicks_P)
    if person_N is None:
        return others_M, nobody, torch.full_like(clicks_P, len(others_M))
    others_M = others_M[person_N[others_M].argsort(stable=True)]
    user_M, user_P = person_N[others_M].contiguous(), person_N[clicks_P].contiguous()
    first_P = torch.searchsorted(user_M, user_P)
    count_P = torch.searchsorted(user_M, user_P, right=True) - first_P
    alone = count_P == 0
    return others_M, first_P.where(~alone, nobody), count_P.where(~alone, torch.full_like(count_P, len(others_M)))


def _shift(count_P: Tensor, generator: torch.Generator | None) -> Tensor:
    if generator is None:
        return torch.arange(len(count_P), device=count_P.device) % count_P
    drawn = torch.rand(len(count_P), generator=generator, dtype=torch.float64, device=generator.device)
    return (drawn.to(count_P.device) * count_P).long()
