"""Methods that correct the loss with the noise matrix `T[j, k]`: the probability of label k for class j."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.errors import ConfigError
from gdw.reweight.baselines.loss_method import LossMethod, soft_cross_entropy
from gdw.reweight.options import MethodOptions, float64_option
from gdw.reweight.preparation import (
    PlannedFit,
    Preparation,
    Subset,
    as_probabilities,
    clean_targets,
)


def checked_matrix(matrix: Any) -> Tensor | None:
    """The option `matrix` as `(C, C)` float64. Raises `ConfigError` unless every row is a distribution."""
    if matrix is None:
        return None
    wanted = "matrix must be (C, C), row j the probabilities of each given label for class j"
    values = float64_option(matrix, f"{wanted}; got")
    if values.dim() != 2 or values.shape[0] != values.shape[1]:
        raise ConfigError(f"{wanted}; got shape {tuple(values.shape)}")
    if not bool((values >= 0).all()) or not bool(((values.sum(1) - 1).abs() < 1e-4).all()):
        raise ConfigError(f"{wanted}; got row sums {[round(v, 4) for v in values.sum(1).tolist()]}")
    return values


def estimated_matrix(preparation: Preparation) -> Tensor:
    """Estimate T, `(C, C)` float64: the mean prediction of a plain model for clean examples of each class.

    The model is trained on the given labels. A class without clean examples is assumed to have no noise.
    Source: Hendrycks et al., "Using Trusted Data to Train Deep Networks on Labels Corrupted by Severe
    Noise", NeurIPS 2018 (arXiv 1802.05300), section 3.1.
    """
    given, clean = preparation.given, clean_targets(preparation)
    predict = preparation.fit(
        [Subset("given", torch.arange(len(given)))],
        what="step 1 of 2: learning the given labels, to estimate the label noise",
    )
    predicted = predict(Subset("clean", torch.arange(len(clean)))).double()
    true = as_probabilities(clean, preparation.num_classes)
    size = true.sum(0).unsqueeze(1)
    mean = (true.T @ predicted) / size.clamp(min=torch.finfo(size.dtype).tiny)
    identity = torch.eye(len(mean), dtype=mean.dtype)
    return torch.where(size > 0, mean / mean.sum(1, keepdim=True).clamp(min=1e-12), identity)


class NoiseMatrixOptions(MethodOptions):
    """The options of methods that correct with a noise matrix."""

    matrix: Annotated[Any, AfterValidator(checked_matrix)] = Field(
        None,
        description=(
            "`(C, C)`, row j the probabilities of each given label for class j. By default it is estimated."
        ),
    )


class ForwardCorrection(LossMethod):
    """Forward correction (Patrini et al., CVPR 2017, arXiv 1609.03683, theorem 2).

    `ℓ = −Σ_k q_k log Σ_j p_j T[j, k]`. The matrix is given, or estimated from the clean examples as in GLC.
    Unlike in GLC, the clean examples are not trained on.
    """

    needs_clean = True
    Options: ClassVar[type[MethodOptions]] = NoiseMatrixOptions

    def __init__(self, model: nn.Module, optimizer: Optimizer, **options: Any) -> None:
        super().__init__(model, optimizer, **options)
        if self.options.matrix is not None:
            self._kept["matrix"] = self.options.matrix

    def planned_fits(self, preparation: Preparation) -> list[PlannedFit]:
        if "matrix" in self._kept:
            return []
        clean = len(clean_targets(preparation))
        return [PlannedFit(len(preparation.given), preparation.epochs, clean)]

    def prepare(self, preparation: Preparation) -> None:
        self._kept["given"] = torch.tensor(len(preparation.given))
        if "matrix" not in self._kept:
            self._kept["matrix"] = estimated_matrix(preparation)

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        matrix = self._known("matrix", option="matrix").to(logits)
        if len(matrix) != logits.shape[1]:
            raise ConfigError(
                f"matrix is for {len(matrix)} classes, but the model has {logits.shape[1]} logits: "
                "give one row and one column per class"
            )
        given = torch.einsum("nj...,jk->nk...", logits.softmax(1), matrix)
        # A given label that is impossible under the matrix teaches nothing, instead of infinitely much.
        corrected = -(q * given.clamp(min=torch.finfo(given.dtype).tiny).log()).sum(1)
        clean = self._is_clean(indices, corrected)
        return torch.where(clean, soft_cross_entropy(logits, q), corrected)


class GLC(ForwardCorrection):
    """Gold loss correction (Hendrycks et al., NeurIPS 2018, arXiv 1802.05300, algorithm 1).

    First a plain model of the given labels is trained; its mean prediction for the clean examples of each
    class is the noise matrix. Then training is on both sets joined: with the corrected loss for given labels,
    and with the cross-entropy for clean ones. In a loop of your own, `indices` tell the two apart.
    """

    joins_clean = True
