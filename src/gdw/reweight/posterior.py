"""Posterior labels: what the clean examples say about an example, corrected by its given label."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.errors import DataError
from gdw.functional.noise_posterior import noise_posterior
from gdw.hypergradient.batch import Forward
from gdw.reweight.class_counts import as_probabilities
from gdw.reweight.clean_models import clean_prior, clean_probabilities
from gdw.reweight.options import check_whole
from gdw.reweight.preparation import Preparation
from gdw.reweight.revised import Revised, soft_cross_entropy


class PosteriorLabels(Revised):
    """Soft labels `q ∝ p_clean(k|x) · T[k, given] · π_k`, and the clean examples besides.

    `p_clean` is the mean of models fitted on folds of the clean examples, made as sure as they are right
    by temperature scaling; the noise matrix T and the true class shares π are estimated from the whole
    training set by EM, see `gdw.functional.noise_posterior`. Training on q is a class-level weighting of
    the plain gradient: `D1 = p − q`.
    """

    needs_clean = True
    joins_clean = True

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        folds: int = 5,
        fold_epochs: int | None = None,
        forward: Forward | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward, label_smoothing: as for every reweighter.
            folds: how many models of the clean examples.
            fold_epochs: passes of each over its clean examples; by default so many that all together
                see as many examples as the run does, and no fewer than the run's epochs.

        Raises:
            ConfigError: an option out of its range.
        """
        super().__init__(model, optimizer, forward=forward, label_smoothing=label_smoothing)
        self._folds = check_whole("folds", folds, 2)
        self._fold_epochs = (
            None if fold_epochs is None else check_whole("fold_epochs", fold_epochs, 1)
        )

    def prepare(self, preparation: Preparation) -> None:
        given, clean = preparation.given, preparation.clean
        assert clean is not None, "the method needs clean examples"
        if given.is_floating_point():
            raise DataError(
                "method 'posterior' corrects class labels: expected targets of shape (N,), found class "
                "probabilities; give the most likely class of each"
            )
        true = as_probabilities(clean, preparation.num_classes)
        probabilities, _ = clean_probabilities(
            preparation, true, folds=self._folds, epochs=self._fold_epochs
        )
        fitted = noise_posterior(probabilities, given.long(), clean_prior=clean_prior(true))
        self._found["given"] = torch.tensor(len(given))
        self._found["labels"] = fitted.responsibilities.float()
        self._found["matrix"] = fitted.transition

    def label_posterior(self) -> Tensor | None:
        return self._found.get("labels")

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        chosen, labels = self._required(indices), self._known("labels")
        if logits.dim() != 2:
            raise DataError(
                "method 'posterior' has one label distribution and one class an example: expected logits of "
                f"shape (N, C), found {tuple(logits.shape)}"
            )
        revised = labels[chosen.clamp(max=len(labels) - 1)].to(logits)
        clean = self._is_clean(indices, logits)
        return soft_cross_entropy(logits, torch.where(clean, q, self._smoothed(revised)))

    def _smoothed(self, q: Tensor) -> Tensor:
        return q * (1 - self._label_smoothing) + self._label_smoothing / q.shape[1]
