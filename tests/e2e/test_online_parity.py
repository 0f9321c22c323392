"""Training side and predictor: two paths from the same landing files to the same score."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from contracts import paths
from contracts.bundle import Pointer
from contracts.days import day_start, parse_day
from contracts.settings import Settings
from tests.e2e.conftest import DAY_ONE, DAY_TWO, Home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


def test_with_the_online_store_at_the_day_before_the_predictor_gives_the_training_sides_scores(
    day_two: Home, online_of_day_one: Settings
):
    """Training side: torch, the CNN on the picture, codes that Spark made. Predictor: numpy, Feast, the table."""
    from serving.bundle import open_bundle
    from serving.online_features import OnlineFeatures
    from serving.predictor import Predictor
    from serving.scorer import Scorer
    from training.evaluate import score_day

    settings, first = day_two.settings(), day_two.log()[0]
    bundle = open_bundle(paths.bundles(settings) / first["bundle"])
    online = OnlineFeatures.open(online_of_day_one)
    assert online.day == DAY_ONE
    pointer = Pointer(bundle=first["bundle"], day=DAY_ONE, publication=1)
    predictor = Predictor(bundle, pointer, online, Scorer(bundle))

    trained = score_day(Path(first["model"]).parent, DAY_TWO, settings)
    wanted = dict(zip(trained.impression_id, trained.score, strict=True))
    known_from = day_start(parse_day(DAY_TWO), settings.time_zone) + timedelta(
        minutes=settings.publication_delay_minutes
    )
    shown = [row for row in day_two.rows("impressions", DAY_TWO) if row["shown_at"] >= known_from][::10]
    assert len(shown) > 200
    differences, fallbacks = [], 0
    for row in shown:
        scored = predictor.scored(row["user_id"], row["shown_at"], row["query"], [row["ad_id"]])[0]
        differences.append(abs(scored.ctr - wanted[row["impression_id"]]))
        fallbacks += not scored.in_table
    assert max(differences) < 1e-4  # the table holds fp16
    assert 0 < fallbacks < len(shown), "both an ad with a vector and a new one are to be seen"
    assert np.std(list(wanted.values())) > 1e-3
