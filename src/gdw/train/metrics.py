"""How good the predictions are, from sums that add up over batches and processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

BINS = 15


class ClassificationMetrics(Metric):
    """Accuracy, balanced accuracy, recall of each class, negative log-likelihood and calibration error.

    `update(logits, targets)` takes logits `(N, C)` and targets as class indices `(N,)` int64, or as
    class probabilities `(N, C)`, of which the largest counts as the label. The states are sums of
    size C at most (there is no confusion matrix, so 10,000 classes are as good as ten), in float64
    where the device has it; torchmetrics adds them up over processes in `compute`.
    """

    full_state_update = False

    def __init__(self, num_classes: int, *, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        for name, size in (("correct", num_classes), ("count", num_classes), ("nll", 1)):
            self.add_state(name, default=torch.zeros(size, dtype=dtype), dist_reduce_fx="sum")
        for name in ("bin_confidence", "bin_correct"):
            self.add_state(name, default=torch.zeros(BINS, dtype=dtype), dist_reduce_fx="sum")

    correct: Tensor
    count: Tensor
    nll: Tensor
    bin_confidence: Tensor
    bin_correct: Tensor

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add a batch, which may be empty."""
        dtype = self.nll.dtype
        log_p = logits.detach().to(dtype).log_softmax(1)
        labels = targets.argmax(1) if targets.dim() == 2 else targets
        confidence, predicted = log_p.exp().max(1)
        hit = (predicted == labels).to(dtype)
        self.correct.index_add_(0, labels, hit)
        self.count.index_add_(0, labels, torch.ones_like(hit))
        self.nll += F.cross_entropy(log_p, _as_loss_target(targets, dtype), reduction="sum")
        # Bin b holds confidences in [b/15, (b+1)/15); a confidence of exactly 1 belongs to the last one.
        bins = (confidence * BINS).long().clamp_(max=BINS - 1)
        self.bin_confidence.index_add_(0, bins, confidence)
        self.bin_correct.index_add_(0, bins, hit)

    def compute(self) -> dict[str, Any]:
        """The figures, as floats.

        `accuracy`; `balanced_accuracy`, the mean recall of the classes that occur; `nll`; `ece` in 15
        bins (Guo et al., ICML 2017); `recall`, one a class, None for a class that does not occur.
        """
        total = self.count.sum()
        recall = self.correct / self.count
        seen = self.count > 0
        return {
            "accuracy": (self.correct.sum() / total).item(),
            "balanced_accuracy": recall[seen].mean().item(),
            "nll": (self.nll.sum() / total).item(),
            "ece": ((self.bin_correct - self.bin_confidence).abs().sum() / total).item(),
            "recall": [
                value if occurs else None
                for value, occurs in zip(recall.tolist(), seen.tolist(), strict=True)
            ],
        }


def _as_loss_target(targets: Tensor, dtype: torch.dtype) -> Tensor:
    return targets.to(dtype) if targets.is_floating_point() else targets
