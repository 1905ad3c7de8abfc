"""Posterior labels: models of the clean examples, corrected by the given labels."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from gdw.errors import DataError
from gdw.functional.posterior import noise_posterior
from gdw.options import Count, Whole
from gdw.reweight.baselines.loss_method import LossMethod, soft_cross_entropy
from gdw.reweight.options import MethodOptions
from gdw.reweight.preparation import (
    PlannedFit,
    Preparation,
    as_probabilities,
    class_labels,
    clean_prior,
    clean_probabilities,
    clean_targets,
    fits_of_clean,
)


class PosteriorOptions(MethodOptions):
    """The options of `PosteriorLabels`."""

    folds: Annotated[Whole, Field(ge=2)] = Field(
        5, description="Number of models of the clean examples."
    )
    fold_epochs: Count | None = Field(
        None,
        description=(
            "Passes of each model over its clean examples. By default together as many examples as the run, "
            "each at least the epochs of the run."
        ),
    )


class PosteriorLabels(LossMethod):
    """Soft labels `q ∝ p_clean(k|x) · T[k, given] · π_k`, and the clean examples.

    `p_clean` is the mean of models of the clean examples, one per fold, with a fitted temperature. The noise
    matrix T and the true class frequencies π are estimated from the whole training set by EM, see
    `gdw.functional.posterior`. Training on q is a class-level weighting of the plain gradient:
    `D1 = p − q`.
    """

    needs_clean = True
    joins_clean = True
    Options: ClassVar[type[MethodOptions]] = PosteriorOptions

    def planned_fits(self, preparation: Preparation) -> list[PlannedFit]:
        clean, options = len(clean_targets(preparation)), self.options
        return fits_of_clean(preparation, clean, folds=options.folds, epochs=options.fold_epochs)

    def prepare(self, preparation: Preparation) -> None:
        given = class_labels(preparation, "method 'posterior' corrects")
        clean = clean_targets(preparation)
        true = as_probabilities(clean, preparation.num_classes)
        probabilities, _, _ = clean_probabilities(
            preparation,
            true,
            folds=self.options.folds,
            epochs=self.options.fold_epochs,
            title="step 1 of 2: learning from the verified examples",
        )
        fitted = noise_posterior(probabilities, given.long(), clean_prior=clean_prior(true))
        self._kept["given"] = torch.tensor(len(given))
        self._kept["labels"] = fitted.responsibilities.float()
        self._kept["matrix"] = fitted.transition

    def label_posterior(self) -> Tensor | None:
        return self._kept.get("labels")

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        chosen, labels = self._required(indices), self._known("labels")
        if logits.dim() != 2:
            raise DataError(
                "method 'posterior' has one label distribution per example: expected logits of shape "
                f"(N, C), found {tuple(logits.shape)}"
            )
        posterior = labels[chosen.clamp(max=len(labels) - 1)].to(logits)
        clean = self._is_clean(indices, logits)
        return soft_cross_entropy(logits, torch.where(clean, q, self._smoothed(posterior)))

    def _smoothed(self, q: Tensor) -> Tensor:
        smoothing: float = self.options.label_smoothing
        return q * (1 - smoothing) + smoothing / q.shape[1]
