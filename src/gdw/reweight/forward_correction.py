"""Forward correction: the model's prediction goes through the noise before it meets the given label."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.errors import ConfigError
from gdw.hypergradient.batch import Forward
from gdw.reweight.noise_matrix import checked_matrix, estimated_matrix
from gdw.reweight.preparation import Preparation
from gdw.reweight.revised import Revised, soft_cross_entropy


class ForwardCorrection(Revised):
    """Forward correction (Patrini et al., CVPR 2017, arXiv 1609.03683, theorem 2).

    `ℓ = −Σ_k q_k log Σ_j p_j T[j, k]`. The matrix is given, or estimated from the clean examples as GLC
    does; nothing else is done with them, unlike in GLC.
    """

    needs_clean = True

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        matrix: Sequence[Sequence[float]] | Tensor | None = None,
        forward: Forward | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward, label_smoothing: as for every reweighter.
            matrix: `(C, C)`, row j the probabilities of each given label for an example of class j; by
                default `prepare` estimates it.

        Raises:
            ConfigError: a matrix whose rows are no distributions.
        """
        super().__init__(model, optimizer, forward=forward, label_smoothing=label_smoothing)
        if matrix is not None:
            self._found["matrix"] = checked_matrix(matrix)

    def prepare(self, preparation: Preparation) -> None:
        self._found["given"] = torch.tensor(len(preparation.given))
        if "matrix" not in self._found:
            self._found["matrix"] = estimated_matrix(preparation)

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        matrix = self._known("matrix", option="matrix").to(logits)
        if len(matrix) != logits.shape[1]:
            raise ConfigError(
                f"matrix is for {len(matrix)} classes, but the model has {logits.shape[1]} logits: "
                "give one row and one column a class"
            )
        given = torch.einsum("nj...,jk->nk...", logits.softmax(1), matrix)
        # A given label that the matrix holds for impossible teaches nothing, rather than infinitely much.
        corrected = -(q * given.clamp(min=torch.finfo(given.dtype).tiny).log()).sum(1)
        clean = self._is_clean(indices, corrected)
        return torch.where(clean, soft_cross_entropy(logits, q), corrected)
