"""The batch: ads, users and impressions, whatever repeats once.

A chunk of a table, the shuffle buffer and a training step's batch are all of this type. Grouping decides only the order
of the impressions; `shared` gives what the network looks up once and gathers.

Shapes: N impressions, A ad rows, U user rows, B pictures, L a feature's limit, S pixels a side. Rows and indices are
int32: half the memory and half the way to the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from contracts.features import BY_NAME, Feature
from contracts.rows import UNKNOWN
from training.sharing import distinct, used

Block = Literal["ads", "users", "context"]
Rows = dict[str, Tensor]
Shared = tuple[Mapping[str, Tensor], Tensor]  # rows of a block, and the index into it of each impression


class Position(NamedTuple):
    """Where a batch stands in the stream: `buffer` counts in the epoch's plan, `batch` in the buffer."""

    epoch: int
    buffer: int
    batch: int

    def after(self) -> Position:
        """Where to go on once this batch has been learnt from."""
        return self._replace(batch=self.batch + 1)


def block_of(feature: Feature) -> Block:
    """A pair or a cross of two features of one side is held with that side; any other once an impression."""
    sides = {BY_NAME[name].side for name in feature.of} or {feature.side}
    return "ads" if sides == {"ad"} else "users" if sides == {"user"} else "context"


@dataclass(frozen=True)
class Batch:
    """Rows of embeddings by feature, [A], [U] or [N], of a list with L beside it.

    `images` [B]: digest or None; with `category_B` (rows of category_id) the distinct pairs that the CNN embeds once.
    `pictures_B3SS`: their pixels, uint8, once they are loaded. `person_N`: the code of the user's id, where the loss
    pairs a user's impressions: equal rows are not yet one user, nor are one user's rows of two days equal.
    """

    ads: Rows
    users: Rows
    context: Rows
    ad_of_N: Tensor
    user_of_N: Tensor
    picture_of_A: Tensor
    category_B: Tensor
    label_N: Tensor
    images: list[str | None]
    pictures_B3SS: Tensor | None = None
    person_N: Tensor | None = None
    position: Position | None = None

    def __len__(self) -> int:
        return len(self.label_N)

    @property
    def shared(self) -> tuple[Shared, Shared]:
        return (self.ads, self.ad_of_N), (self.users, self.user_of_N)

    @property
    def picture_of_N(self) -> Tensor:
        return self.picture_of_A[self.ad_of_N]

    def take(self, index_N: Tensor) -> Batch:
        """These impressions in this order, and of the other blocks only what they use."""
        used_A, ad_of_N = used(self.ad_of_N[index_N])
        used_U, user_of_N = used(self.user_of_N[index_N])
        used_B, picture_of_A = used(self.picture_of_A[used_A])
        return Batch(
            taken(self.ads, used_A), taken(self.users, used_U), taken(self.context, index_N),
            ad_of_N, user_of_N, picture_of_A, self.category_B[used_B], self.label_N[index_N],
            [self.images[at] for at in used_B.tolist()],
            person_N=None if self.person_N is None else self.person_N[index_N],
        )  # fmt: skip

    def plain(self) -> Batch:
        """The same impressions with nothing shared: each has its own ad row, user row and picture."""
        own, picture_of_N = torch.arange(len(self), dtype=torch.int32), self.picture_of_N
        return replace(
            self, ads=taken(self.ads, self.ad_of_N), users=taken(self.users, self.user_of_N),
            ad_of_N=own, user_of_N=own, picture_of_A=own, category_B=self.category_B[picture_of_N],
            images=[self.images[at] for at in picture_of_N.tolist()],
        )  # fmt: skip

    def hide_ads(self, hidden_N: Tensor) -> Batch:
        """Where `hidden_N`, the ad's id is unknown and all else is kept: such an impression has a second ad row."""
        if "ad_id" not in self.ads or not hidden_N.any():
            return self
        ads = {name: torch.cat([rows, rows]) for name, rows in self.ads.items()}
        ads["ad_id"][len(self.picture_of_A) :] = UNKNOWN
        doubled = replace(
            self, ads=ads, ad_of_N=self.ad_of_N + hidden_N.to(torch.int32) * len(self.picture_of_A),
            picture_of_A=torch.cat([self.picture_of_A, self.picture_of_A]),
        )  # fmt: skip
        return doubled.take(torch.arange(len(self)))

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """`change` of every tensor."""
        changed: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                changed[name] = change(value)
            elif isinstance(value, dict):
                changed[name] = {feature: change(rows) for feature, rows in value.items()}
        return replace(self, **changed)

    def tensors(self) -> dict[str, Tensor]:
        """By name, as a file holds them."""
        named: dict[str, Tensor] = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                named[name] = value
            elif isinstance(value, dict):
                named |= {f"{name}.{feature}": rows for feature, rows in value.items()}
        return {name: value.contiguous() for name, value in named.items()}

    def to(self, device: torch.device) -> Batch:
        """On the device; the copies overlap with its work where the batch is in pinned memory."""
        return self.mapped(lambda tensor: tensor.to(device, non_blocking=True))


def taken(rows: Mapping[str, Tensor], index: Tensor) -> Rows:
    return {name: values[index] for name, values in rows.items()}


def _length(rows: Mapping[str, Tensor], of_N: Tensor) -> int:
    """Rows of a block; one without features has as many as are pointed at."""
    return len(next(iter(rows.values()))) if rows else int(of_N.max()) + 1 if len(of_N) else 0


def concatenate(parts: Sequence[Batch]) -> Batch:
    """One batch of all their impressions, in order; ad rows, user rows and pictures that repeat are held once."""
    index: dict[tuple[str | None, int], int] = {}
    pictures, ads_before, users_before, ad_of, user_of = [], 0, 0, [], []
    for part in parts:
        pairs = zip(part.images, part.category_B.tolist(), strict=True)
        picture_of_B = torch.tensor([index.setdefault(pair, len(index)) for pair in pairs], dtype=torch.int32)
        pictures.append(picture_of_B[part.picture_of_A])
        ad_of.append(part.ad_of_N + ads_before)
        user_of.append(part.user_of_N + users_before)
        ads_before += len(part.picture_of_A)
        users_before += _length(part.users, part.user_of_N)
    picture_of_A = torch.cat(pictures)
    ads, users, context = (
        {name: torch.cat([getattr(part, block)[name] for part in parts]) for name in getattr(parts[0], block)}
        for block in ("ads", "users", "context")
    )
    persons = [part.person_N for part in parts if part.person_N is not None]
    first_A, ad_of_A = distinct([*_columns(ads), _column(picture_of_A)], ads_before)
    first_U, user_of_U = distinct(_columns(users), users_before)
    kept_A, kept_U = torch.from_numpy(first_A), torch.from_numpy(first_U)
    return Batch(
        taken(ads, kept_A), taken(users, kept_U), context,
        torch.from_numpy(ad_of_A)[torch.cat(ad_of)], torch.from_numpy(user_of_U)[torch.cat(user_of)],
        picture_of_A[kept_A], torch.tensor([row for _, row in index], dtype=torch.int32),
        torch.cat([part.label_N for part in parts]), [image for image, _ in index],
        person_N=torch.cat(persons) if persons else None,
    )  # fmt: skip


def _columns(rows: Mapping[str, Tensor]) -> list[np.ndarray]:
    """Of a table of rows, each column for itself, int64; a list has L of them."""
    return [_column(column) for values in rows.values() for column in (values.T if values.ndim == 2 else [values])]


def _column(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.numpy(), np.int64)
