"""The recommended method, and the plain training that prepares it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.errors import ConfigError
from gdw.functional.weights import unit_weights
from gdw.hypergradient.inputs import Batch, join_batches, moved
from gdw.options import Whole
from gdw.reweight.base import Reweighter
from gdw.reweight.options import MethodOptions
from gdw.reweight.plain import Plain, unprepared
from gdw.reweight.preparation import CleanCheck, PlannedFit, Preparation
from gdw.reweight.robust.search import FEWEST_CLEAN, find_targets, fits_to_prepare
from gdw.reweight.robust.targets import PosteriorTargets, corrected_gradient
from gdw.reweight.step_result import StepResult


def _none_or_several(folds: int) -> int:
    if folds < 0 or folds == 1:
        raise ValueError("expected 0 (none) or a whole number of at least 2")
    return folds


class RobustOptions(MethodOptions):
    """The options of `Robust`. Each part can be left out, for an ablation."""

    folds: Annotated[Whole, AfterValidator(_none_or_several)] = Field(
        3,
        description=(
            "Number of models of the given labels, and as many again that cross-check them. 0: only the "
            "models of the clean examples decide."
        ),
    )
    balance: bool = Field(
        True, description="Correct class frequencies: offset the logits by `log(π / ρ)`."
    )
    own: bool = Field(
        True,
        description=(
            "Let the model in training decide its own targets too, as far as the cross-checking models "
            "were reliable."
        ),
    )
    leave_out: bool = Field(
        True,
        description=(
            "Give less weight to examples whose label is confidently contradicted and whose class is unclear."
        ),
    )
    soften: bool = Field(
        True,
        description=(
            "Mix the target of a clean example with the prediction of models that were trained without it."
        ),
    )


class Robust(Reweighter):
    """The recommended method: class-level weights in closed form, from estimates of the true labels.

    It estimates the true label of each example and trains towards this estimate, which gives each class of
    the example a weight of its own. In a formula, with the prediction p, the given label y, the estimate q
    and the weights ω: `p − q = ω ⊙ (p − y)`. `prepare` estimates q for every training example from its given
    label, from models of the clean examples and from out-of-fold models of all examples, together with the
    label noise T and the class frequencies (`gdw.reweight.robust.search`). Noise is corrected in the labels
    and balance in the logits. Each batch gets some clean examples from `meta_batch`. `docs/method.md` has the
    equations.

    Every example needs one class: void labels (`ignore_index`) and class probabilities are refused.

    It must be prepared with the whole training set: `gdw.Trainer` does it, and in a loop of your own
    `gdw.prepare(reweighter, (X, y), (X_clean, y_clean), epochs=...)`.

    >>> import torch, gdw
    >>> X, y = torch.randn(60, 5), torch.arange(60) % 3
    >>> model = torch.nn.Linear(5, 3)
    >>> reweighter = gdw.Robust(model, torch.optim.SGD(model.parameters(), lr=0.1))
    >>> gdw.prepare(reweighter, (X, y), (X[:12], y[:12]), epochs=2, progress="none")
    >>> step = reweighter.backward((X[12:20], y[12:20]), (X[:6], y[:6]), indices=range(12, 20))
    >>> step.weights.shape
    torch.Size([8, 3])
    """

    Options: ClassVar[type[MethodOptions]] = RobustOptions
    repeats = False
    captures = True

    def __init__(self, model: nn.Module, optimizer: Optimizer, **options: Any) -> None:
        super().__init__(model, optimizer, **options)
        self._targets: PosteriorTargets | None = None
        # The same, and a copy on the device of the model.
        self._placed: tuple[PosteriorTargets, PosteriorTargets] | None = None

    fewest_clean = FEWEST_CLEAN
    # See docs/verified.md.
    fewest_of_class = 5

    @classmethod
    def takes_clean(cls, options: Mapping[str, Any]) -> bool:
        """Clean examples join every batch."""
        del options
        return True

    def planned_fits(self, preparation: Preparation) -> list[PlannedFit]:
        return fits_to_prepare(preparation, self.options.folds)

    def prepare(self, preparation: Preparation) -> None:
        """Estimate posterior labels of the training set, see `gdw.reweight.robust.search`.

        Raises:
            DataError: labels that posterior labels cannot be estimated for.
        """
        self._targets = find_targets(preparation, self.options)

    @property
    def _total(self) -> int | None:
        return None if self._targets is None else len(self._targets.labels)

    def label_posterior(self) -> Tensor | None:
        """Return q, the estimated probabilities of the true classes, `(N, C)` float32."""
        return None if self._targets is None else self._targets.labels

    def clean_targets(self) -> Tensor | None:
        return None if self._targets is None else self._targets.clean

    def clean_check(self) -> CleanCheck | None:
        return None if self._targets is None else self._targets.check

    def _step(self, batch: Batch, meta_batch: Batch | None, indices: Tensor | None) -> StepResult:
        targets, meta_batch, indices = self._required(meta_batch, indices)
        indices = moved(indices, targets.labels.device)
        size = len(batch[1])
        rows = self._clean_rows(targets, size, len(meta_batch[1]))
        # Positions after the training set mark clean examples.
        clean = torch.full((rows,), len(targets.labels), device=indices.device)
        indices = torch.cat([indices, clean])
        joined = join_batches(batch, meta_batch, rows)
        training_pass, weight, implied = targets.apply(
            self._problem.training_pass(joined),
            joined[1],
            indices,
            size,
            label_smoothing=self.options.label_smoothing,
        )
        counted = (
            self._problem.collective.mean_over(weight, training_pass.count).to(weight).unsqueeze(1)
        )
        gradient = training_pass.class_gradient * counted
        training_pass = self._sample_weighted(training_pass, gradient, indices)
        ones = unit_weights(gradient)
        result = _first(self._backward(training_pass, ones, reported=implied), size)
        # The given labels have the class frequencies of the training examples, and so must predictions that
        # are compared with them.
        return replace(result, label_logits=result.logits + targets.offset.to(result.logits))

    def _clean_rows(self, targets: PosteriorTargets, given: int, meta: int) -> int:
        """How many of this process's `meta` clean examples join its `given` training examples.

        Together the processes take the first rows of the global meta batch, as one process would.
        """
        collective = self._problem.collective
        if collective.world_size == 1:
            return targets.clean_rows(given, meta)
        device = self._problem.devices()[0]
        (sizes,) = collective.concatenate([torch.tensor([[given, meta]], device=device)])
        wanted = targets.clean_rows(*sizes.sum(0).tolist())
        before = int(sizes[: collective.rank, 1].sum())
        return min(meta, max(0, wanted - before))

    def _required(
        self, meta_batch: Batch | None, indices: Tensor | None
    ) -> tuple[PosteriorTargets, Batch, Tensor]:
        if self._targets is None:
            raise unprepared(self)
        if meta_batch is None:
            raise ConfigError(
                "Robust adds clean examples to each batch: call backward(batch, meta_batch, "
                "indices=indices), for instance in a loop over gdw.data.pair(train_loader, meta_loader)"
            )
        if indices is None:
            raise ConfigError(
                "Robust keeps a label for each training example: call backward(batch, meta_batch, "
                "indices=indices) with the positions of the batch in the training set of gdw.prepare, int64 "
                "(N,). Draw batches by position, as in torch.randperm(len(X)).split(100), or let the data "
                "set return the position of each item too"
            )
        if self._placed is None or self._placed[0] is not self._targets:
            self._placed = self._targets, self._targets.on(self._problem.devices()[0])
        return self._placed[1], meta_batch, indices

    def state_dict(self) -> dict[str, Any]:
        targets = None if self._targets is None else self._targets.state_dict()
        return {**super().state_dict(), "stage": targets}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state.get("method") == "GDW" and state.get("stage") is not None:
            # gdw 0.1.0 knew this method as a preset of GDW.
            state = {**state, "method": type(self).__name__}
        super().load_state_dict(state)
        self._targets = PosteriorTargets.from_state(state["stage"])


def _first(result: StepResult, size: int) -> StepResult:
    """The result for the first `size` examples; the losses do not change."""
    cut = {k: v[:size] for k, v in vars(result).items() if isinstance(v, Tensor) and v.dim() > 1}
    return replace(result, **cut)


class CorrectedPlain(Plain):
    """Plain training with `corrected_gradient`. `Preparation.fit` uses it; it is not in the registry."""

    captures = True

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        doubtful: Tensor,
        offset: Tensor,
        noise: Tensor | None = None,
        **options: Any,
    ) -> None:
        """
        Args:
            model, optimizer, options: as for every reweighter.
            doubtful: `(N,)` booleans, whether each example of the data set has a doubtful label.
            offset, noise: as for `corrected_gradient`.
        """
        super().__init__(model, optimizer, **options)
        device = self._problem.devices()[0]
        self._doubtful, self._offset = doubtful.to(device), offset.to(device)
        self._noise = None if noise is None else noise.to(device)

    def _step(self, batch: Batch, meta_batch: Batch | None, indices: Tensor | None) -> StepResult:
        assert indices is not None, "the trainer says which examples are in a batch"
        training_pass, targets = self._problem.training_pass(batch), batch[1]
        like = training_pass.class_gradient
        q = targets if targets.is_floating_point() else F.one_hot(targets, like.shape[1])
        losses, gradient = corrected_gradient(
            training_pass.logits,
            q.to(like),
            self._doubtful[moved(indices, like.device)],
            offset=self._offset,
            noise=self._noise,
        )
        training_pass = replace(training_pass, losses=losses)
        training_pass = self._sample_weighted(training_pass, gradient, indices)
        return self._backward(training_pass, unit_weights(gradient))
