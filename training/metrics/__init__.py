"""What a model's scores are worth: ranking, likelihood, by slice, with intervals, in memory or streamed. numpy only.

`auc` and its like want the whole day in memory and are exact; the gate, comparisons and benchmarks use them. The
`Streaming...` accumulators take a batch at a time, merge across ranks, and are for what does not fit in memory: an
early stop's held-out days, a window. Labels are 0 or 1; scores of the likelihood metrics are probabilities.
"""

from training.metrics.bootstrap import Interval, Resampled, bootstrap, paired_figures
from training.metrics.influence import Estimate, auc_difference, holm, mean
from training.metrics.likelihood import Decile, by_decile, calibration, log_loss, loss_of_rows
from training.metrics.ranking import auc, gauc
from training.metrics.slices import Slice, by_slice, cold
from training.metrics.streaming import StreamingAuc, StreamingLikelihood
from training.metrics.streaming_slices import StreamingDeciles, StreamingSlices
from training.metrics.streaming_users import StreamingGauc

__all__ = [
    "Decile", "Estimate", "Interval", "Resampled", "Slice", "StreamingAuc", "StreamingDeciles", "StreamingGauc",
    "StreamingLikelihood", "StreamingSlices", "auc", "auc_difference", "bootstrap", "by_decile", "by_slice",
    "calibration", "cold", "gauc", "holm", "log_loss", "loss_of_rows", "mean", "paired_figures",
]  # fmt: skip
