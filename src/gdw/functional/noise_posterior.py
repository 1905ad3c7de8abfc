"""What an example's class is, given its label and what clean data say: a mixture fitted by EM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gdw.errors import DataError


@dataclass(frozen=True)
class NoisePosterior:
    """A fitted model of label noise that depends on the class alone.

    Attributes:
        responsibilities: `q`, `(N, C)`, the probability of each true class of each example.
        transition: `T`, `(C, C)`, the probability of given label k for an example of class j, at `[j, k]`.
        class_prior: `π`, `(C,)`, the share of each true class.
        log_likelihoods: mean log-likelihood of an example before each step and after the last.
    """

    responsibilities: Tensor
    transition: Tensor
    class_prior: Tensor
    log_likelihoods: tuple[float, ...]


def noise_posterior(
    probabilities: Tensor,
    given: Tensor,
    *,
    clean_prior: Tensor | None = None,
    strength: float = 0.0,
    max_steps: int = 500,
    tolerance: float = 1e-7,
) -> NoisePosterior:
    """Maximum likelihood of `T` and `π` by EM for `P(given, x) ∝ Σ_k π_k · p(k|x) / ρ_k · T[k, given]`.

    `p(k|x)` comes from a model of clean data whose classes are distributed as `ρ`, so that `p / ρ` is, up to
    a factor of x alone, the density of x in class k; with `T` the identity this is the correction of a
    shifted prior by Saerens et al., Neural Computation 14(1), 2002; with uniform `π` and one annotator it is
    the noise model of Dawid and Skene, Applied Statistics 28(1), 1979.

    Args:
        probabilities: `p`, `(N, C)`.
        given: `(N,)`, labels from 0 to C-1.
        clean_prior: `ρ`, `(C,)`; uniform by default.
        strength: of a Dirichlet prior on each row of `T`, in examples: its mean is as right as the whole
            `T` on the diagonal, and elsewhere as the given labels are frequent; and one example more a
            class for `π`. A class with few examples then keeps a matrix that resembles the others'. The
            likelihood no longer rises at every step; `max_steps` is also when to stop.
        max_steps: EM steps at most.
        tolerance: stop when a step gains less in mean log-likelihood.

    Returns:
        Everything in float64. Rows of `T` of classes that nothing belongs to are uniform.

    Raises:
        DataError: shapes or labels that do not fit.
    """
    classes = _checked_classes(probabilities, given)
    density = probabilities.double().clamp(min=1e-12)
    if clean_prior is not None:
        density = density / clean_prior.to(density)
    labels = torch.nn.functional.one_hot(given, classes).to(density)
    q = density / density.sum(1, keepdim=True)
    found: list[float] = []
    while True:
        prior = q.mean(0)
        if strength:
            prior = (q.sum(0) + 1) / (len(q) + classes)
        transition = _transition(q, labels, strength)
        joint = density * prior * transition[:, given].T
        likelihood = joint.sum(1, keepdim=True)
        q = joint / likelihood
        found.append(float(likelihood.log().mean()))
        if len(found) > max_steps or (len(found) > 1 and abs(found[-1] - found[-2]) < tolerance):
            return NoisePosterior(q, transition, prior, tuple(found))


def _transition(q: Tensor, labels: Tensor, strength: float = 0.0) -> Tensor:
    if strength:
        counts = q.T @ labels
        right = counts.diagonal().sum() / counts.sum()
        elsewhere = labels.mean(0).clamp(min=1e-12).expand_as(counts).clone().fill_diagonal_(0)
        elsewhere = elsewhere / elsewhere.sum(1, keepdim=True)
        expected = (1 - right) * elsewhere + right * torch.eye(len(counts)).to(counts)
        counts = counts + strength * expected
        return counts / counts.sum(1, keepdim=True)
    size = q.sum(0).unsqueeze(1)
    some = torch.finfo(size.dtype).tiny
    return torch.where(size > some, (q.T @ labels) / size.clamp(min=some), 1 / q.shape[1])


def _checked_classes(probabilities: Tensor, given: Tensor) -> int:
    if probabilities.dim() != 2 or given.shape != probabilities.shape[:1]:
        raise DataError(
            "expected probabilities of shape (N, C) and given labels of shape (N,), found "
            f"{tuple(probabilities.shape)} and {tuple(given.shape)}"
        )
    classes = probabilities.shape[1]
    if given.is_floating_point() or int(given.min()) < 0 or int(given.max()) >= classes:
        raise DataError(f"expected given labels that are classes from 0 to {classes - 1}")
    return classes
