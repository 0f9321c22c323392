"""What a model's scores are worth: ranking, likelihood, by slice, with intervals, in memory or streamed. numpy only.

`auc` and its like want the whole day in memory and are exact; the gate, comparisons and benchmarks use them. The
`Streaming...` accumulators take a batch at a time, merge across ranks, and are for what does not fit in memory: an
early stop's held-out days, a window. Labels are 0 or 1; scores of the likelihood metrics are probabilities.
"""

from training.metrics.bootstrap import Interval, Paired, bootstrap, paired_bootstrap
from training.metrics.likelihood import Decile, by_decile, calibration, log_loss
from training.metrics.ranking import auc, gauc
from training.metrics.slices import Slice, by_slice, cold
from training.metrics.streaming import StreamingAuc, StreamingDistinctAuc, StreamingLikelihood

__all__ = [
    "Decile", "Interval", "Paired", "Slice", "StreamingAuc", "StreamingDistinctAuc", "StreamingLikelihood",
    "auc", "bootstrap", "by_decile", "by_slice", "calibration", "cold", "gauc", "log_loss", "paired_bootstrap",
]  # fmt: skip
