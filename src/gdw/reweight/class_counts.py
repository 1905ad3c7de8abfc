"""How many examples each class has, and weights made of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gdw.errors import ConfigError
from gdw.reweight.preparation import Preparation


def checked_counts(class_counts: Sequence[float] | Tensor) -> Tensor:
    """The option `class_counts` as `(C,)` float64. Raises `ConfigError` for what are no counts."""
    try:
        counts = torch.as_tensor(class_counts, dtype=torch.float64).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"class_counts must be one number a class, got {class_counts!r}"
        ) from error
    if counts.dim() != 1 or not bool(((counts >= 0) & counts.isfinite()).all()) or not counts.any():
        raise ConfigError(
            f"class_counts must be one number a class, zero or more, got {class_counts!r}"
        )
    return counts


def given_counts(preparation: Preparation) -> Tensor:
    """The number of training examples of each given class, `(C,)` float64; of soft labels their sums."""
    return as_probabilities(preparation.given, preparation.num_classes).sum(0)


def as_probabilities(targets: Tensor, classes: int) -> Tensor:
    """Classes `(N,)` or probabilities `(N, C)` as `(N, C)` float64 probabilities."""
    if targets.is_floating_point():
        return targets.double()
    return F.one_hot(targets.long(), classes).double()


def mean_one(weights: Tensor, counts: Tensor) -> Tensor:
    """Class weights `(C,)`, scaled so that their mean over all examples is one."""
    return weights * (counts.sum() / (weights * counts).sum())


def effective_number_weights(counts: Tensor, beta: float) -> Tensor:
    """Class weights `(C,)` proportional to `(1 − β) / (1 − β^n_k)`, of mean one over all examples.

    Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019 (arXiv 1901.05555),
    equation 2. A class of less than one example counts as one.
    """
    if beta == 0:
        return torch.ones_like(counts)
    exponent = counts.clamp(min=1) * torch.tensor(beta, dtype=counts.dtype).log()
    return mean_one(1 / -torch.expm1(exponent), counts)
