"""What a request gets: user, moment, query and ads in; click probabilities out, from what is published now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from contracts.bundle import Pointer
from contracts.errors import InputError
from contracts.features import context_values
from contracts.rows import Rows
from contracts.settings import Settings
from serving.bundle import Bundle, open_current
from serving.online_features import OnlineFeatures, code_columns
from serving.scorer import Scorer


@dataclass(frozen=True)
class ScoredAd:
    """`in_table`: False where the ad's picture has no vector yet and the fallback stood in."""

    ad_id: str
    ctr: float
    in_table: bool


@dataclass(frozen=True)
class Predictor:
    bundle: Bundle
    pointer: Pointer
    features: OnlineFeatures
    scorer: Scorer

    @classmethod
    def open(cls, settings: Settings) -> Predictor:
        """What the pointer names now. Raises MissingArtifact before the first publication or materialisation."""
        bundle, current = open_current(settings)
        return cls(bundle, current, OnlineFeatures.open(settings), Scorer(bundle))

    def score(self, user_id: str, shown_at: datetime, query: str | None, ad_ids: Sequence[str]) -> list[float]:
        """Click probabilities in the order of the ads. `shown_at` must carry its time zone."""
        return [scored.ctr for scored in self.scored(user_id, shown_at, query, ad_ids)]

    def scored(
        self, user_id: str, shown_at: datetime, query: str | None, ad_ids: Sequence[str]
    ) -> list[ScoredAd]:
        if shown_at.tzinfo is None:
            raise InputError(f"shown_at {shown_at} has no time zone; give it one, UTC for example")
        if not ad_ids:
            return []
        own = self.bundle.features
        columns = code_columns(
            own,
            self.features.user(user_id, own),
            self.features.ads(ad_ids, own),
            context_values(shown_at, query, self.bundle.info.time_zone),
            len(ad_ids),
        )
        visual, known = self.bundle.table.of(ad_ids, columns.get("category_id"))
        ctr = self.scorer.score(self._once(self.scorer.rows(columns)), visual)
        return [
            ScoredAd(ad_id, float(p), bool(k)) for ad_id, p, k in zip(ad_ids, ctr, known, strict=True)
        ]

    def _once(self, rows: dict[str, Rows]) -> dict[str, Rows]:
        """A feature of the user or the context is the same for all ads: one row of it is enough."""
        shared = {f.name for f in self.bundle.features if f.side in ("user", "context")}
        return {name: np.asarray(r[:1]) if name in shared else r for name, r in rows.items()}
