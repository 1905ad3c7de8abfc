"""What models of the given labels say about clean examples: a first estimate of label noise, to stay near."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_SHARED = 1.0
_STEPS = 200


@dataclass(frozen=True)
class NoiseAnchor:
    """A first estimate of label noise, and how many examples it counts for.

    Attributes:
        transition: `G`, `(C, C)`, the probability of given label k for an example of class j, at `[j, k]`.
        counts: `(C,)`, for how many examples each row of `transition` counts.
        class_prior: `(C,)`, the class frequencies of the training examples.
        size: for how many examples `class_prior` counts.
        examples: the number of training examples.
    """

    transition: Tensor
    counts: Tensor
    class_prior: Tensor
    size: float
    examples: int


def noise_anchor(predicted: Tensor, true: Tensor, given: Tensor, *, prior: Tensor) -> NoiseAnchor:
    """Estimate label noise from a model of the given labels and M clean examples.

    The mean prediction for the clean examples of a class is its row of `G` (Hendrycks et al., NeurIPS 2018,
    arXiv 1802.05300, section 3.1), with one more example whose row resembles the other rows. It cannot take
    one class for another, as EM can. But it takes what the model is unsure of for noise, so it counts for
    the clean examples only, beside the soft counts of EM.

    Args:
        predicted: probabilities of the given label, `(M, C)`.
        true: class probabilities of the clean examples, `(M, C)`.
        given: `(N,)`, the given labels of the training examples.
        prior: `ρ`, `(C,)`, class frequencies to stay near, as if seen in M examples.
    """
    q, classes = true.double(), true.shape[1]
    share = given.bincount(minlength=classes).double() / len(given)
    counts = q.T @ predicted.double()
    rows = counts + _SHARED * alike(counts, share)
    transition = rows / rows.sum(1, keepdim=True)
    size, rho = len(given), prior.double()
    pi = frequencies_of_labels(transition, share * size, rho, strength=len(true))
    return NoiseAnchor(transition, q.sum(0), pi, float(size), size)


def alike(counts: Tensor, share: Tensor) -> Tensor:
    """The noise matrix whose rows are alike, `(C, C)`, for soft counts `(C, C)` of classes and given labels.

    On the diagonal is the share of right labels over all classes. Elsewhere it follows `share`, `(C,)`, the
    frequencies of the given labels.
    """
    right = counts.diagonal().sum() / counts.sum()
    elsewhere = share.clamp(min=1e-12).expand_as(counts).clone().fill_diagonal_(0)
    elsewhere = elsewhere / elsewhere.sum(1, keepdim=True)
    return (1 - right) * elsewhere + right * torch.eye(len(counts)).to(counts)


def frequencies_of_labels(
    transition: Tensor, counts: Tensor, prior: Tensor, *, strength: float
) -> Tensor:
    """The class frequencies `π`, `(C,)`, under which the given labels are most likely: EM.

    Maximum of `Σ_k counts_k log (π T)_k + strength Σ_j prior_j log π_j`.

    Args:
        transition: `T`, `(C, C)`.
        counts: how often each label is given, `(C,)`.
        prior: class frequencies to stay near, `(C,)`.
        strength: for how many examples they count.
    """
    pi = prior
    for _ in range(_STEPS):
        joint = pi.unsqueeze(1) * transition
        of_label = joint / joint.sum(0).clamp(min=1e-300)
        pi = (of_label @ counts + strength * prior) / (counts.sum() + strength)
    return pi


def frequencies_of_inputs(probabilities: Tensor, prior: Tensor) -> Tensor:
    """The class frequencies `π`, `(C,)`, under which the examples themselves are most likely: EM.

    Maximum of `Σ_i log Σ_k π_k p(k|x_i) / ρ_k`, with one more example per class. It reads no label. Source:
    Saerens, Latinne and Decaestecker, Neural Computation 14(1), 2002.

    Args:
        probabilities: `p`, `(N, C)`, calibrated for data with class frequencies `ρ`.
        prior: `ρ`, `(C,)`.
    """
    pi = prior = prior.double()
    density = probabilities.double().clamp(min=1e-12) / prior
    for _ in range(_STEPS):
        joint = density * pi
        of_class = (joint / joint.sum(1, keepdim=True)).sum(0)
        pi = (of_class + 1) / (len(density) + len(prior))
    return pi
