"""Confident learning: likely label errors are pruned before training, by cleanlab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.errors import DataError, MissingDependencyError
from gdw.functional.losses import PerExample
from gdw.hypergradient import TrainingPass
from gdw.hypergradient.batch import Forward
from gdw.reweight.instance_weighted import InstanceWeighted, labelled, mean_over
from gdw.reweight.options import check_whole
from gdw.reweight.out_of_fold import out_of_fold
from gdw.reweight.preparation import Preparation, Subset


class ConfidentLearning(InstanceWeighted):
    """Confident learning (Northcutt et al., JAIR 2021, arXiv 1911.00068), pruned by noise rate.

    First, out-of-fold predictions for the given examples: the run's own model, fitted once a fold on the
    other folds and the clean examples. What `cleanlab` then finds to be label errors weighs nothing; the
    mean over a batch is over the rest of it. The clean examples are trained on too. Inputs of pruned
    examples still pass through the model, and so through BatchNorm's statistics.
    """

    needs_clean = True
    joins_clean = True

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        folds: int = 5,
        forward: Forward | None = None,
        loss: str | PerExample = "cross_entropy",
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward, loss, label_smoothing: as for every reweighter.
            folds: how many models give the out-of-fold predictions; each trains as long as the run.

        Raises:
            ConfigError: less than two folds.
        """
        super().__init__(
            model, optimizer, forward=forward, loss=loss, label_smoothing=label_smoothing
        )
        self._folds = check_whole("folds", folds, 2)

    @classmethod
    def check_installed(cls) -> None:
        _find_label_issues()

    def prepare(self, preparation: Preparation) -> None:
        find_label_issues = _find_label_issues()
        given, clean = preparation.given, preparation.clean
        assert clean is not None, "the method needs clean examples"
        if given.is_floating_point():
            raise DataError(
                "method 'cleanlab' judges class labels: expected targets of shape (N,), found class "
                "probabilities; give the most likely class of each"
            )
        trusted = Subset("clean", torch.arange(len(clean)))
        predicted = out_of_fold(preparation, self._folds, clean=trusted)
        issues = find_label_issues(
            given.numpy(), predicted.numpy(), filter_by="prune_by_noise_rate", n_jobs=1
        )
        self._found["kept"] = ~torch.from_numpy(issues)
        self._found["predicted"] = predicted.float()

    def label_posterior(self) -> Tensor | None:
        """The out-of-fold predictions, `(N, C)`."""
        return self._found.get("predicted")

    def _instance_weights(
        self, run: TrainingPass, targets: Tensor, indices: Tensor | None
    ) -> Tensor:
        chosen, kept = self._required(indices), self._known("kept")
        # Those beyond the training set are the clean ones.
        kept = torch.where(chosen < len(kept), kept[chosen.clamp(max=len(kept) - 1)], True)
        shaped = kept.view(-1, *[1] * (run.losses.dim() - 1)).to(run.losses.device)
        return mean_over(
            labelled(run.losses, targets) & shaped, run.count, self._problem.collective
        )


def _find_label_issues() -> Callable[..., Any]:
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise MissingDependencyError(
            "method 'cleanlab' needs the package of that name: pip install 'gdw[cleanlab]'"
        ) from error
    found: Callable[..., Any] = find_label_issues
    return found
