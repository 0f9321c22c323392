"""What `mlflow.pyfunc.load_model` calls: a bundle that scores a data frame. It imports nothing of MLflow.

The frame has a column for each of the model's features that is a value (strings, numbers, lists; null where missing),
and `ad_id`, by which the picture's vector is found (outside the table: its category's). The answer is float64 [N]:
click probabilities.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import InputError
from contracts.features import coded
from serving.bundle import open_bundle
from serving.online_features import Value, code_column
from serving.scorer import Scorer

if TYPE_CHECKING:
    import pandas as pd


def _load_pyfunc(path: str) -> FrameScorer:
    """Raises MissingArtifact or DamagedArtifact for a folder that is not the bundle that it is named after."""
    return FrameScorer(Path(path))


class FrameScorer:
    def __init__(self, folder: Path):
        self._scorer = Scorer(open_bundle(folder))

    def predict(self, frame: pd.DataFrame, params: dict[str, Any] | None = None) -> NDArray[np.float64]:
        """`params` is MLflow's; the model has none."""
        bundle = self._scorer.bundle
        features = coded(bundle.features)
        missing = sorted({"ad_id", *(feature.name for feature in features)} - set(frame.columns))
        if missing:
            raise InputError(
                f"the frame lacks the columns {', '.join(missing)}; found {', '.join(map(str, frame.columns))}"
            )
        columns = {one.name: code_column(one, [_value(v) for v in frame[one.name]]) for one in features}
        visual, _ = bundle.table.of([str(ad) for ad in frame["ad_id"]], columns.get("category_id"))
        return np.asarray(self._scorer.score(self._scorer.rows(columns), visual), np.float64)


def _value(cell: Any) -> Value:
    """Pandas writes a missing value as NaN."""
    if isinstance(cell, (list, tuple, np.ndarray)):
        return [str(word) for word in cell]
    return None if cell is None or cell != cell else cell
