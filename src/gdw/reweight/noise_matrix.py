"""The noise matrix `T[j, k]`, the probability of given label k for class j: where it comes from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gdw.errors import ConfigError
from gdw.reweight.class_counts import as_probabilities
from gdw.reweight.preparation import Preparation, Subset


def checked_matrix(matrix: Sequence[Sequence[float]] | Tensor) -> Tensor:
    """The option `matrix` as `(C, C)` float64. Raises `ConfigError` unless every row is a distribution."""
    wanted = "matrix must be (C, C), row j the probabilities of each given label for class j"
    try:
        found = torch.as_tensor(matrix, dtype=torch.float64).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{wanted}; got {matrix!r}") from error
    if found.dim() != 2 or found.shape[0] != found.shape[1]:
        raise ConfigError(f"{wanted}; got shape {tuple(found.shape)}")
    if not bool((found >= 0).all()) or not bool(((found.sum(1) - 1).abs() < 1e-4).all()):
        raise ConfigError(f"{wanted}; got row sums {[round(v, 4) for v in found.sum(1).tolist()]}")
    return found


def estimated_matrix(preparation: Preparation) -> Tensor:
    """`(C, C)` float64: what a model of the given labels predicts for clean examples of each class, in mean.

    Hendrycks et al., "Using Trusted Data to Train Deep Networks on Labels Corrupted by Severe Noise",
    NeurIPS 2018 (arXiv 1802.05300), section 3.1. A class without clean examples is taken as without noise.
    """
    assert preparation.clean is not None, "methods that estimate the matrix need clean examples"
    given, clean = preparation.given, preparation.clean
    predict = preparation.fit(
        [Subset("given", torch.arange(len(given)))],
        what="a plain model of the given labels, to estimate the noise matrix",
    )
    predicted = predict(Subset("clean", torch.arange(len(clean)))).double()
    true = as_probabilities(clean, preparation.num_classes)
    size = true.sum(0).unsqueeze(1)
    mean = (true.T @ predicted) / size.clamp(min=torch.finfo(size.dtype).tiny)
    identity = torch.eye(len(mean), dtype=mean.dtype)
    return torch.where(size > 0, mean / mean.sum(1, keepdim=True).clamp(min=1e-12), identity)
