"""What a method may do before the first step: read the labels, train models, predict without leakage."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from gdw.errors import DataError
from gdw.functional.posterior import apply_temperature, fit_temperature
from gdw.seeding import generator


@dataclass(frozen=True)
class Subset:
    """Some examples of a run, to train a model on or to predict.

    Attributes:
        part: `"given"`, the training set with its doubtful labels, or `"clean"`, the clean examples.
        indices: `(n,)` int64, positions in that set.
        targets: `(n,)` classes or `(n, C)` probabilities to train on; None for those of the set.
    """

    part: Literal["given", "clean"]
    indices: Tensor
    targets: Tensor | None = None


@dataclass(frozen=True)
class CleanCheck:
    """How well models did on the M clean examples that they were trained without.

    A wrong label here is one drawn from the estimated label noise of the example's true class.

    Attributes:
        weight: `(M,)` float32, how many training examples each clean example stands for; with mean one.
        predicted: `(M,)` float32, 1 where the models predict the verified label, else 0.
        echoed: `(M,)` float32, the probability that a wrong label is the one that the models predict.
        doubted: `(M,)` float32, 1 where an audit would replace the verified label, were it the given one.
        missed: `(M,)` float32, the probability that the label is still wrong after an audit of a wrong label.
        agreement: the share of the given labels of the training set that the models predict.
    """

    weight: Tensor
    predicted: Tensor
    echoed: Tensor
    doubted: Tensor
    missed: Tensor
    agreement: float


@dataclass(frozen=True)
class PlannedFit:
    """A model that a method will train in `prepare`: on how many examples, and to predict how many."""

    examples: int
    epochs: int
    predicted: int


Predict = Callable[[Subset], Tensor]
"""From examples to their class probabilities, `(n, C)` float32 on the CPU."""


class Preparation(Protocol):
    """A run that is about to start, as `Reweighter.prepare` gets it.

    Attributes:
        given: targets of the training set, `(N,)` classes or `(N, C)` probabilities, on the CPU.
        clean: targets of the clean examples, `(M,)`; None without clean examples.
        verified: how many of the clean examples, the first ones, are verified (`gdw.train.chosen_clean`).
        num_classes: C.
        epochs: epochs of the run.
        batch_size: examples per training batch of the run.
        seed: seed of the run.
    """

    @property
    def given(self) -> Tensor: ...
    @property
    def clean(self) -> Tensor | None: ...
    @property
    def verified(self) -> int: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def seed(self) -> int: ...

    def fit(
        self,
        subsets: Sequence[Subset],
        *,
        epochs: int | None = None,
        seed: int = 0,
        what: str = "",
        offset: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Predict:
        """Train a copy of the untrained model plainly on the joined `subsets`, with the options of the run.

        Args:
            subsets: what to train on.
            epochs: passes over the subsets; by default those of the run.
            seed: shuffles the subsets, independently of the order of the run.
            what: a message for the person who waits.
            offset: `(C,)`, added to the logits of given examples (`gdw.reweight.robust.targets`).
            noise: `T`, `(C, C)`, the label noise that given labels are corrected for.

        Returns:
            A function that predicts class probabilities with the trained model.
        """

    def say(self, what: str) -> None:
        """Show a message to the person who waits."""


def as_probabilities(targets: Tensor, classes: int) -> Tensor:
    """Classes `(N,)` or probabilities `(N, C)` as probabilities `(N, C)`, float64."""
    if targets.is_floating_point():
        return targets.double()
    return F.one_hot(targets.long(), classes).double()


def stratified_folds(labels: Tensor, folds: int, *, seed: int) -> list[Tensor]:
    """Divide the indices of `labels` into `folds` parts, with each class spread evenly over them.

    Args:
        labels: `(n,)` integers.
        folds: the number of parts; at most n are made, so that none is empty.
        seed: the result is a function of the arguments alone.

    Returns:
        Sorted int64 indices of each part.
    """
    shuffled = torch.from_numpy(generator(seed, "folds").permutation(len(labels)))
    order = shuffled[labels[shuffled].argsort(stable=True)]
    count = min(folds, len(labels))
    return [order[start::count].sort().values for start in range(count)]


def _left_in(size: int, folds: int) -> list[int]:
    """How many of `size` examples are outside each of the `stratified_folds`."""
    count = min(folds, size)
    return [size - len(range(start, size, count)) for start in range(count)]


def all_but(part: Tensor, size: int) -> Tensor:
    """The indices below `size` that are not in `part`, sorted."""
    outside = torch.ones(size, dtype=torch.bool)
    outside[part] = False
    return outside.nonzero().squeeze(1)


def clean_targets(preparation: Preparation) -> Tensor:
    """The targets of the clean examples, `(M,)`, for a method that needs such examples."""
    assert preparation.clean is not None, "the method needs clean examples"
    return preparation.clean


def class_labels(preparation: Preparation, method: str) -> Tensor:
    """The given class labels, `(N,)`. `DataError`, which begins with `method`, for class probabilities."""
    if preparation.given.is_floating_point():
        raise DataError(
            f"{method} class labels: expected targets of shape (N,), found class probabilities; give the "
            "most likely class of each example"
        )
    return preparation.given


def clean_prior(true: Tensor) -> Tensor:
    """Class frequencies `(C,)` of the clean examples, with one more example per class.

    The additional examples keep a class possible that the clean set lacks.

    Args:
        true: class probabilities of the clean examples, `(M, C)`.
    """
    return (true.sum(0) + 1) / (len(true) + true.shape[1])


def clean_probabilities(
    preparation: Preparation,
    true: Tensor,
    *,
    folds: int = 5,
    epochs: int | None = None,
    title: str = "learning from the verified examples",
) -> tuple[Tensor, Tensor, float]:
    """Predict with models of the clean examples alone, each trained without one fold.

    Training examples get the mean prediction of all models, clean ones that of the model that was trained
    without them. The temperature of the predictions is fitted on the folds left out.

    Args:
        preparation: of the run.
        true: class probabilities of the clean examples, `(M, C)`.
        folds, epochs: the number of models, and the passes of each. By default all together see as many
            examples as the run or take as many steps, whichever is less; each at least the run's epochs.
        title: the message for the person who waits.

    Returns:
        `p_clean(k|x)` of the training examples, `(N, C)`, and of the clean ones, `(M, C)`; float64. And the
        share of the given labels that a single one of these models predicts.
    """
    everything = Subset("given", torch.arange(len(preparation.given)))
    parts = stratified_folds(true.argmax(1), folds, seed=preparation.seed)
    planned = fits_of_clean(preparation, len(true), folds=folds, epochs=epochs)
    left_out = torch.empty(true.shape, dtype=torch.float32)
    predictions: list[Tensor] = []
    for number, part in enumerate(parts):
        inside = all_but(part, len(true))
        predict = preparation.fit(
            [Subset("clean", inside)],
            epochs=planned[number].epochs,
            seed=number,
            what=f"{title} (fold {number + 1} of {len(parts)})",
        )
        left_out[part] = predict(Subset("clean", part))
        predictions.append(predict(everything))
    temperature = fit_temperature(left_out, true)
    # These tables are large: they are summed in place, one at a time in float64.
    mean = torch.zeros(len(everything.indices), preparation.num_classes, dtype=torch.float64)
    for p in predictions:
        mean.add_(apply_temperature(p, temperature), alpha=1 / len(predictions))
    given = as_probabilities(preparation.given, preparation.num_classes).argmax(1)
    agreed = [float((p.argmax(1) == given).double().mean()) for p in predictions]
    return mean, apply_temperature(left_out, temperature), sum(agreed) / len(agreed)


def fits_of_clean(
    preparation: Preparation, size: int, *, folds: int = 5, epochs: int | None = None
) -> list[PlannedFit]:
    """The models that `clean_probabilities` trains on `size` clean examples."""
    inside, given = _left_in(size, folds), len(preparation.given)
    return [
        PlannedFit(n, epochs or _sufficient_epochs(preparation, n, len(inside)), given + size - n)
        for n in inside
    ]


def fits_out_of_fold(preparation: Preparation, folds: int, *, clean: int) -> list[PlannedFit]:
    """The models that `out_of_fold` trains, each on `clean` more examples."""
    given = len(preparation.given)
    return [PlannedFit(n + clean, preparation.epochs, given - n) for n in _left_in(given, folds)]


def _sufficient_epochs(preparation: Preparation, size: int, folds: int) -> int:
    epochs, batch, examples = preparation.epochs, preparation.batch_size, len(preparation.given)
    # A pass over a few clean examples is one short step.
    steps = math.ceil(epochs * math.ceil(examples / batch) / folds)
    per_epoch = math.ceil(size / batch)
    enough = min(math.ceil(epochs * examples / (size * folds)), math.ceil(steps / per_epoch))
    return max(epochs, enough)


def out_of_fold(
    preparation: Preparation,
    folds: int,
    *,
    clean: Subset,
    first_seed: int = 0,
    title: str = "cross-checking the labels",
    **options: Any,
) -> Tensor:
    """Predict each training example with a model that was trained without its fold.

    Each model is trained on the other folds and on the `clean` examples, for as long as the run.

    Args:
        preparation: of a run with class labels.
        folds: the number of models.
        clean: clean examples that every model is trained on too.
        first_seed: seed of the first model; the others have the seeds after it.
        title: the message for the person who waits.
        options: of `Preparation.fit`.

    Returns:
        Class probabilities `(N, C)`, float64, rows summing to one.
    """
    given = preparation.given
    predicted = torch.empty(len(given), preparation.num_classes, dtype=torch.float64)
    parts = stratified_folds(given, folds, seed=preparation.seed)
    for number, part in enumerate(parts):
        predict = preparation.fit(
            [Subset("given", all_but(part, len(given))), clean],
            seed=first_seed + number,
            what=f"{title} (fold {number + 1} of {len(parts)})",
            **options,
        )
        predicted[part] = predict(Subset("given", part)).double()
    return predicted / predicted.sum(1, keepdim=True)
