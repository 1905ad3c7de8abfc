"""Confident learning: likely label errors are removed before training, with cleanlab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from gdw.errors import MissingDependencyError
from gdw.hypergradient import TrainingPass
from gdw.options import Whole
from gdw.reweight.baselines.instance_weights import InstanceWeighted, labelled
from gdw.reweight.options import MethodOptions, WeightingOptions
from gdw.reweight.preparation import (
    PlannedFit,
    Preparation,
    Subset,
    class_labels,
    clean_targets,
    fits_out_of_fold,
    out_of_fold,
)


class ConfidentLearningOptions(WeightingOptions):
    """The options of `ConfidentLearning`."""

    folds: Annotated[Whole, Field(ge=2)] = Field(
        5,
        description="Number of models for out-of-fold predictions; each trains as long as the run.",
    )


class ConfidentLearning(InstanceWeighted):
    """Confident learning (Northcutt et al., JAIR 2021, arXiv 1911.00068), pruned by noise rate.

    First come out-of-fold predictions for the training examples: the model of the run is trained once per
    fold, on the other folds and the clean examples. The examples that `cleanlab` then finds to be label
    errors have weight zero; the mean over a batch is over the other examples. The clean examples are trained
    on too. Inputs of removed examples still pass through the model, and so through BatchNorm's statistics.
    """

    needs_clean = True
    joins_clean = True
    Options: ClassVar[type[MethodOptions]] = ConfidentLearningOptions

    @classmethod
    def check_installed(cls) -> None:
        _find_label_issues()

    def planned_fits(self, preparation: Preparation) -> list[PlannedFit]:
        clean = len(clean_targets(preparation))
        return fits_out_of_fold(preparation, self.options.folds, clean=clean)

    def prepare(self, preparation: Preparation) -> None:
        find_label_issues = _find_label_issues()
        given = class_labels(preparation, "method 'cleanlab' judges")
        clean = clean_targets(preparation)
        trusted = Subset("clean", torch.arange(len(clean)))
        predicted = out_of_fold(
            preparation,
            self.options.folds,
            clean=trusted,
            title="step 1 of 2: cross-checking the labels",
        )
        issues = find_label_issues(
            given.numpy(), predicted.numpy(), filter_by="prune_by_noise_rate", n_jobs=1
        )
        self._kept["kept"] = ~torch.from_numpy(issues)
        self._kept["predicted"] = predicted.float()

    def label_posterior(self) -> Tensor | None:
        """Return the out-of-fold predictions, `(N, C)`."""
        return self._kept.get("predicted")

    def _instance_weights(
        self, training_pass: TrainingPass, targets: Tensor, indices: Tensor | None
    ) -> Tensor:
        chosen, kept = self._required(indices), self._known("kept")
        # Positions after the training set are clean examples.
        kept = torch.where(chosen < len(kept), kept[chosen.clamp(max=len(kept) - 1)], True)
        losses = training_pass.losses
        shaped = kept.view(-1, *[1] * (losses.dim() - 1)).to(losses.device)
        return self._problem.collective.mean_over(
            labelled(losses, targets) & shaped, training_pass.count
        )


def _find_label_issues() -> Callable[..., Any]:
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise MissingDependencyError(
            "method 'cleanlab' needs the package cleanlab: pip install 'gdw[cleanlab]'"
        ) from error
    function: Callable[..., Any] = find_label_issues
    return function
