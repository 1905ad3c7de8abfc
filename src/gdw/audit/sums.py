"""The running sums behind the evidence, one set a process until they are merged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gdw.audit.means import Means, make_means
from gdw.train.processes import Processes

CLASSES_WITH_WEIGHTS = 512
"""Up to this many classes the weights are summed by given label and class."""


class Sums:
    """Sums over the visits of N examples of C classes.

    Attributes:
        visits, given, weight_given, weight_top: `(N,)` float32.
        by_label, label_visits: `(C, C)` and `(C,)` float64, empty where C is too large.
        means: the sums of predicted probabilities.
    """

    NAMES = ("visits", "given", "weight_given", "weight_top", "by_label", "label_visits")

    def __init__(self, examples: int, classes: int, *, dense_bytes: int, width: int) -> None:
        self.visits = torch.zeros(examples)
        self.given = torch.zeros(examples)
        self.weight_given = torch.zeros(examples)
        self.weight_top = torch.zeros(examples)
        square = classes if classes <= CLASSES_WITH_WEIGHTS else 0
        self.by_label = torch.zeros(square, square, dtype=torch.float64)
        self.label_visits = torch.zeros(square, dtype=torch.float64)
        self.means: Means = make_means(examples, classes, dense_bytes=dense_bytes, width=width)

    def add(self, rows: Tensor, labels: Tensor, p: Tensor, weights: Tensor) -> None:
        """Count one visit of `rows` `(B,)` with labels `(B,)`, probabilities and weights `(B, C)`."""
        column = labels.unsqueeze(1)
        other = p.scatter(1, column, -1.0).argmax(1, keepdim=True)
        self.visits[rows] += 1
        self.given[rows] += p.gather(1, column).squeeze(1)
        self.weight_given[rows] += weights.gather(1, column).squeeze(1)
        self.weight_top[rows] += weights.gather(1, other).squeeze(1)
        if len(self.by_label):
            self.by_label.index_add_(0, labels, weights.double())
            self.label_visits += labels.bincount(minlength=len(self.by_label))
        self.means.add(rows, p)

    def put(self, rows: Tensor, labels: Tensor, p: Tensor) -> None:
        """Let `p` `(B, C)` stand for `rows` that were never visited."""
        self.given[rows] = p.gather(1, labels.unsqueeze(1)).squeeze(1)
        self.means.put(rows, p)

    def merged(self, processes: Processes) -> Sums:
        """The sums of all processes; these where there is one process. Every process calls it."""
        if processes.size == 1:
            return self
        whole = object.__new__(Sums)
        for name in self.NAMES:
            setattr(whole, name, processes.sum(getattr(self, name).clone()).cpu())
        whole.means = self.means.merge(processes)
        return whole

    def state(self) -> dict[str, Any]:
        """For a checkpoint, not copied."""
        return {
            **{name: getattr(self, name) for name in self.NAMES},
            "means": self.means.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        for name in self.NAMES:
            getattr(self, name).copy_(state[name])
        self.means.load(state["means"])
