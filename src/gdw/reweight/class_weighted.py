"""Methods that weigh an example by how many examples its class has."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.functional import class_probabilities
from gdw.functional.losses import PerExample
from gdw.hypergradient import TrainingPass
from gdw.hypergradient.batch import Forward
from gdw.reweight.class_counts import checked_counts, given_counts
from gdw.reweight.instance_weighted import InstanceWeighted
from gdw.reweight.preparation import Preparation
from gdw.reweight.revised import per_class


class ClassWeighted(InstanceWeighted):
    """Weights by class, of mean one over the training set; a soft label gets the mean of its classes'."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        class_counts: Sequence[float] | Tensor | None = None,
        forward: Forward | None = None,
        loss: str | PerExample = "cross_entropy",
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward, loss, label_smoothing: as for every reweighter.
            class_counts: `(C,)`, the number of examples of each class; by default `prepare` counts the
                given labels.

        Raises:
            ConfigError: an option out of its range.
        """
        super().__init__(
            model, optimizer, forward=forward, loss=loss, label_smoothing=label_smoothing
        )
        if class_counts is not None:
            self._found["class_counts"] = checked_counts(class_counts)

    def prepare(self, preparation: Preparation) -> None:
        self._found.setdefault("class_counts", given_counts(preparation))

    @abstractmethod
    def _class_weights(self, counts: Tensor) -> Tensor:
        """The weight of each class, `(C,)`, from their numbers of examples, `(C,)` float64."""

    def _instance_weights(
        self, run: TrainingPass, targets: Tensor, indices: Tensor | None
    ) -> Tensor:
        del indices
        weights = self._class_weights(self._known("class_counts", option="class_counts"))
        q = class_probabilities(torch.zeros_like(run.class_gradient), targets)
        return (q * per_class(weights, q)).sum(1)
