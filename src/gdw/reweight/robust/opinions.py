"""Models of folds: what they say about examples that they have not seen, and how far to believe it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gdw.errors import DivergenceError
from gdw.functional.posterior import NoisePosterior
from gdw.reweight.preparation import (
    CleanCheck,
    PlannedFit,
    Preparation,
    Subset,
    all_but,
    as_probabilities,
    clean_targets,
    stratified_folds,
)

_GIVEN_SEED, _CHECKING_SEED = 200, 100
_SMALLEST_SHARE, _LARGEST_SHARE = 0.1, 0.5
# How many wrong labels of each clean example are tried.
_WRONG_LABELS = 16


@dataclass(frozen=True)
class Opinion:
    """Class probabilities by models that were trained without the example.

    Attributes:
        given: `(N, C)` float64, of the training examples.
        clean: `(M, C)` float64, of the clean examples.
    """

    given: Tensor
    clean: Tensor


def of_given_labels(preparation: Preparation, folds: int, *, title: str) -> tuple[Opinion, Tensor]:
    """Models of the given labels alone, each trained without one fold of them.

    Returns:
        The opinion, and the mean prediction of all models for the clean examples, `(M, C)`.
    """
    clean = len(clean_targets(preparation))
    everything = Subset("clean", torch.arange(clean))
    found, total = _empty(preparation), torch.zeros(clean, preparation.num_classes).double()
    for number, given, held_out in _folds(preparation, folds):
        predict = preparation.fit(
            [Subset("given", all_but(given, len(preparation.given)))],
            seed=_GIVEN_SEED + number,
            what=f"{title} (fold {number + 1} of {folds})",
        )
        found.given[given] = finite(predict(Subset("given", given)))
        of_clean = finite(predict(everything))
        found.clean[held_out] = of_clean[held_out]
        total += of_clean / folds
    return found, total


def of_both_sets(preparation: Preparation, folds: int, *, title: str, **options: Any) -> Opinion:
    """Models of the given labels and the clean examples, each trained without one fold of either.

    Args:
        preparation: of a run with class labels and clean examples.
        folds: the number of models.
        title: the message for the person who waits.
        options: of `Preparation.fit`.
    """
    labels, clean = preparation.given, clean_targets(preparation)
    true = as_probabilities(clean, preparation.num_classes).float()
    found = _empty(preparation)
    for number, given, held_out in _folds(preparation, folds):
        inside = all_but(held_out, len(clean))
        times = _repetitions(len(inside), _clean_rows(len(clean), len(labels), folds))
        rows = inside.repeat(times)
        predict = preparation.fit(
            [Subset("given", all_but(given, len(labels))), Subset("clean", rows, true[rows])],
            seed=_CHECKING_SEED + number,
            what=f"{title} (fold {number + 1} of {folds})",
            **options,
        )
        found.given[given] = finite(predict(Subset("given", given)))
        found.clean[held_out] = finite(predict(Subset("clean", held_out)))
    return found


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


def planned_opinions(preparation: Preparation, folds: int) -> list[PlannedFit]:
    """The models that `of_given_labels` and `of_both_sets` train."""
    size, clean = len(preparation.given), len(clean_targets(preparation))
    alone, both = [], []
    for _, given, held_out in _folds(preparation, folds):
        inside, outside, epochs = clean - len(held_out), len(given), preparation.epochs
        joined = inside * _repetitions(inside, _clean_rows(clean, size, folds))
        alone.append(PlannedFit(size - outside, epochs, outside + clean))
        both.append(PlannedFit(size - outside + joined, epochs, outside + len(held_out)))
    return alone + both


def clean_share(clean: int, given: int) -> float:
    """The number of clean examples per training example in a batch."""
    return min(_LARGEST_SHARE, max(_SMALLEST_SHARE, clean / given))


def finite(p: Tensor) -> Tensor:
    """The probabilities in float64. `DivergenceError` if one is not finite."""
    if not bool(p.isfinite().all()):
        raise DivergenceError(
            "a model that prepares the labels predicts probabilities that are not finite: try a lower lr",
            epoch=0,
            step=0,
        )
    return p.double()


def _folds(preparation: Preparation, folds: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """The number of each fold, its training examples and its clean examples."""
    clean, seed = clean_targets(preparation), preparation.seed
    classes = as_probabilities(clean, preparation.num_classes).argmax(1)
    given = stratified_folds(preparation.given, folds, seed=seed)
    of_clean = stratified_folds(classes, folds, seed=seed)
    for number, part in enumerate(given):
        # With more folds than clean examples, some folds leave none out.
        held_out = of_clean[number] if number < len(of_clean) else torch.empty(0).long()
        yield number, part, held_out


def _empty(preparation: Preparation) -> Opinion:
    sizes = len(preparation.given), len(clean_targets(preparation))
    given, clean = (torch.empty(n, preparation.num_classes).double() for n in sizes)
    return Opinion(given, clean)


def _clean_rows(clean: int, given: int, folds: int) -> float:
    """About how many clean examples a model of both sets is trained on."""
    return clean_share(clean, given) * given * (folds - 1) / folds


def _repetitions(clean: int, size: float) -> int:
    return max(1, round(size / clean))
