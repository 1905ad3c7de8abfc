"""From predictions and given labels to the true classes: calibration and label noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gdw.errors import DataError

_FLOOR = 1e-12
_SHARPEST, _FLATTEST = 0.05, 20.0
_SHARED = 1.0
_STEPS = 200


def fit_temperature(probabilities: Tensor, targets: Tensor) -> float:
    """Fit the temperature, from 0.05 to 20, that makes the targets most likely.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (arXiv 1706.04599), section 4.2.

    Args:
        probabilities: `(N, C)`, predictions for examples that the model was not trained on.
        targets: `(N, C)`, their class probabilities (one-hot for class labels).
    """
    log_p, q = _log(probabilities), targets.double()

    def slope(sharpness: float) -> float:
        expected = (log_p * (sharpness * log_p).softmax(1)).sum(1)
        return float((q.sum(1) * expected - (q * log_p).sum(1)).sum())

    # The loss is convex in one over the temperature, so its slope changes sign once.
    low, high = 1 / _FLATTEST, 1 / _SHARPEST
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return 2 / (low + high)


def apply_temperature(probabilities: Tensor, temperature: float) -> Tensor:
    """`softmax(log p / temperature)`, `(N, C)` float64."""
    return (_log(probabilities) / temperature).softmax(1)


def _log(probabilities: Tensor) -> Tensor:
    return probabilities.double().clamp(min=_FLOOR).log()


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
        true: class probabilities of the clean examples, `(M, C)`; a row of zeros does not count.
        given: `(N,)`, the given labels of the training examples.
        prior: `ρ`, `(C,)`, class frequencies to stay near, as if seen in M examples.
    """
    q, classes = true.double(), true.shape[1]
    share = given.bincount(minlength=classes).double() / len(given)
    counts = q.T @ predicted.double()
    rows = counts + _SHARED * alike(counts, share)
    transition = rows / rows.sum(1, keepdim=True)
    size, rho = len(given), prior.double()
    pi = frequencies_of_labels(transition, share * size, rho, strength=float(q.sum()))
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


@dataclass(frozen=True)
class NoisePosterior:
    """A fitted model of label noise that depends only on the true class.

    Attributes:
        responsibilities: `q`, `(N, C)`, the probability of each true class for each example.
        transition: `T`, `(C, C)`, the probability of given label k for an example of class j, at `[j, k]`.
        class_prior: `π`, `(C,)`, the frequency of each true class.
        log_likelihoods: mean log-likelihood per example before each EM step and after the last one.
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
    anchor: NoiseAnchor | None = None,
    max_steps: int = 500,
    tolerance: float = 1e-7,
) -> NoisePosterior:
    """Estimate the label noise `T` and the class frequencies `π` by EM.

    Maximum likelihood of `P(given, x) ∝ Σ_k π_k · p(k|x) / ρ_k · T[k, given]`.
    `p(k|x)` comes from a model of clean data with class frequencies `ρ`. Then `p / ρ` is the density of x in
    class k, up to a factor that depends only on x. If `T` is the identity, this is the correction of a
    shifted prior by Saerens et al., Neural Computation 14(1), 2002. With uniform `π` and one annotator it is
    the noise model of Dawid and Skene, Applied Statistics 28(1), 1979.

    Args:
        probabilities: `p`, `(N, C)`.
        given: `(N,)`, labels from 0 to C-1.
        clean_prior: `ρ`, `(C,)`; uniform by default.
        strength: strength, in examples, of a Dirichlet prior on each row of `T`, and whether `π` gets one
            more example per class. On the diagonal the mean of the prior is the share of right labels over
            all classes; elsewhere it follows the frequencies of the given labels. The row of a class with few
            examples then resembles the other rows. With a prior the likelihood does not rise at every step.
        anchor: an estimate to start from and to stay near: its rows count beside the soft counts of `T`, its
            class frequencies beside those of `π`. Without it a class that the model confuses with all others
            can take over examples of every class: its row of `T` then says nothing, and `π` grows.
        max_steps: largest number of EM steps.
        tolerance: stop when a step changes the mean log-likelihood by less.

    Returns:
        The fitted model, in float64. The rows of `T` of classes without examples are uniform.

    Raises:
        DataError: shapes or labels do not fit.
    """
    classes = _checked_classes(probabilities, given)
    density = probabilities.double().clamp(min=1e-12)
    if clean_prior is not None:
        density = density / clean_prior.to(density)
    labels = torch.nn.functional.one_hot(given, classes).to(density)
    if anchor is not None:
        density_now = density * anchor.class_prior * anchor.transition[:, given].T
        q = density_now / density_now.sum(1, keepdim=True)
    else:
        q = density / density.sum(1, keepdim=True)
    trace: list[float] = []
    while True:
        prior = _frequencies(q, strength, anchor)
        transition = _transition(q, labels, strength, anchor)
        joint = density * prior * transition[:, given].T
        likelihood = joint.sum(1, keepdim=True)
        q = joint / likelihood
        trace.append(float(likelihood.log().mean()))
        if len(trace) > max_steps or (len(trace) > 1 and abs(trace[-1] - trace[-2]) < tolerance):
            return NoisePosterior(q, transition, prior, tuple(trace))


def _frequencies(q: Tensor, strength: float, anchor: NoiseAnchor | None) -> Tensor:
    if anchor is not None:
        return (q.sum(0) + anchor.size * anchor.class_prior) / (len(q) + anchor.size)
    if strength:
        return (q.sum(0) + 1) / (len(q) + q.shape[1])
    return q.mean(0)


def _transition(q: Tensor, labels: Tensor, strength: float, anchor: NoiseAnchor | None) -> Tensor:
    counts = q.T @ labels
    if strength:
        counts = counts + strength * alike(counts, labels.mean(0))
    if anchor is not None:
        counts = counts + anchor.counts.unsqueeze(1) * anchor.transition
    size = counts.sum(1, keepdim=True)
    some = torch.finfo(size.dtype).tiny
    return torch.where(size > some, counts / size.clamp(min=some), 1 / q.shape[1])


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


def confidently_other(probabilities: Tensor, given: Tensor) -> Tensor:
    """Which given labels are off the diagonal of the confident joint: booleans `(N,)`.

    A class is confident for an example if its probability is at least the mean of that probability over the
    examples with that label. If several classes are confident, the most likely one counts. Source:
    Northcutt, Jiang and Chuang, "Confident Learning", JAIR 70, 2021 (arXiv 1911.00068), equations 1 and 2.

    Args:
        probabilities: out-of-fold probabilities of the given label, `(N, C)`.
        given: `(N,)`, labels from 0 to C-1.
    """
    size, classes = probabilities.shape
    of_given = probabilities[torch.arange(size), given]
    counts = torch.bincount(given, minlength=classes)
    sums = torch.zeros(classes, dtype=of_given.dtype).index_add_(0, given, of_given)
    # No example has such a label, so no example is confidently of that class.
    thresholds = torch.where(counts > 0, sums / counts.clamp(min=1), torch.inf)
    confident = torch.where(probabilities >= thresholds, probabilities, -1.0)
    most, which = confident.max(1)
    return (most >= 0) & (which != given)
