"""How far the models of the clean examples can be believed: a trial on the clean examples themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from gdw.functional.posterior import NoisePosterior
from gdw.reweight.preparation import CleanCheck

# How many wrong labels of each clean example are tried.
_WRONG_LABELS = 16


def check_on_clean(
    left_out: Tensor,
    true: Tensor,
    posterior: NoisePosterior,
    rho: Tensor,
    *,
    given: Tensor,
    agreement: float,
) -> CleanCheck:
    """What an audit by the models of the clean examples would do to the clean examples left out of them.

    Args:
        left_out: their class probabilities by models trained without them, `(M, C)`.
        true: their verified class probabilities, `(M, C)`.
        posterior: the noise model that belongs to these models.
        rho: the class frequencies of the clean examples, `(C,)`.
        given: the labels of the training set, `(N,)`; their frequencies stand for those of the classes.
        agreement: the share of the given labels that the models predict.
    """
    label, predicted = true.argmax(1), left_out.argmax(1)
    rows, classes = torch.arange(len(label)), true.shape[1]
    frequency = given.bincount(minlength=classes) + 1.0
    pi, noise = posterior.class_prior.double(), posterior.transition.double()
    weight = (frequency / label.bincount(minlength=classes).clamp(min=1))[label]
    # A wrong label of the class: from the estimated noise, or any other class if there is none.
    wrong = noise[label] + torch.finfo(torch.float64).eps
    wrong[rows, label] = 0.0
    wrong /= wrong.sum(1, keepdim=True)
    chance, tried = wrong.topk(min(classes, _WRONG_LABELS), dim=1)
    joint = left_out.double() * (pi / rho)

    def wrong_after(given: Tensor) -> Tensor:
        """Whether an audit, which replaces unlikely labels, leaves a wrong one if `given` is the label."""
        q = joint * noise.T[given]
        kept = q[rows, given] >= q.sum(1) / 2
        return (torch.where(kept, given, q.argmax(1)) != label).float()

    missed = torch.zeros(len(label), dtype=torch.float32)
    for given, share in zip(tried.T, chance.T, strict=True):
        missed += wrong_after(given) * share
    return CleanCheck(
        weight=(weight / weight.mean()).float(),
        predicted=(predicted == label).float(),
        echoed=wrong[rows, predicted].float(),
        doubted=wrong_after(label),
        missed=missed / chance.sum(1).float(),
        agreement=agreement,
    )
