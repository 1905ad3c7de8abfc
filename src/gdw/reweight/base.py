"""The contract: `backward(batch, meta_batch) -> StepResult` fills `.grad`, the user's optimizer steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.errors import ConfigError
from gdw.functional.losses import PerExample, resolve_loss
from gdw.hypergradient import Problem, TrainingPass
from gdw.hypergradient.batch import Batch, Forward
from gdw.reweight.preparation import Preparation


@dataclass(frozen=True)
class Weighting:
    """What a method decides about one batch.

    Attributes:
        weights: `(N, C, ...)`, those that the model's step uses.
        first_stage: `(N, C, ...)`, those of the virtual step; None where there was none.
        hypergradient: `(N, C, ...)`; None where none was computed.
        meta_loss: scalar; None where no meta batch was looked at.
        shown: what `StepResult.weights` says in their place, for methods whose gradient at the logits is
            not the plain one.
    """

    weights: Tensor
    first_stage: Tensor | None = None
    hypergradient: Tensor | None = None
    meta_loss: Tensor | None = None
    shown: Tensor | None = None


@dataclass(frozen=True)
class StepResult:
    """What one `backward` saw and did. All tensors are detached.

    Attributes:
        loss: mean unweighted loss of this process's labelled training examples, scalar.
        meta_loss: mean loss of the global meta batch at the virtual step, scalar; None without one.
        logits: `(N, C)` of the training batch (dense outputs `(N, C, ...)`).
        hypergradient: `G = ∂L_meta/∂ω`, `(N, C)`; None in steps that compute none.
        first_stage_weights: `(N, C)`; None for methods without a first stage.
        weights: `(N, C)`, those used in the gradient.
    """

    loss: Tensor
    meta_loss: Tensor | None
    logits: Tensor
    hypergradient: Tensor | None
    first_stage_weights: Tensor | None
    weights: Tensor

    def first(self, size: int) -> StepResult:
        """Of the first `size` examples alone; losses as they are."""
        cut = {k: v[:size] for k, v in vars(self).items() if isinstance(v, Tensor) and v.dim() > 1}
        return replace(self, **cut)


class Reweighter(ABC):
    """A method of weighting the gradient of each example, class by class.

    Subclasses decide the weights in `_weigh`; the forward pass, the weighted backward pass and the
    checks are the same for all.
    """

    needs_meta: ClassVar[bool] = True
    """Whether `backward` looks at a meta batch."""

    needs_clean: ClassVar[bool] = True
    """Whether clean examples are needed, in `backward` or in any other way."""

    joins_clean: ClassVar[bool] = False
    """Whether batches are drawn from the training set with the clean examples added to its end."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        forward: Forward | None = None,
        loss: str | PerExample = "cross_entropy",
        label_smoothing: float = 0.0,
        **problem: Any,
    ) -> None:
        """
        Args:
            model: any module that returns logits `(N, C, ...)`.
            optimizer: the one that will step; its parameter groups give the learning rates.
            forward: `(model, inputs) -> logits`, where `model(inputs)` is not enough.
            loss: `"cross_entropy"` (targets: class indices or probabilities),
                `"binary_cross_entropy"` (multi-label), or a function `(logits, targets) -> (N, ...)`.
            label_smoothing: for cross-entropy.
            problem: of subclasses, for `Problem.of`.

        Raises:
            ConfigError: unknown loss, or an optimizer that trains nothing of the model.
        """
        resolved = resolve_loss(loss, label_smoothing=label_smoothing)
        self._problem = Problem.of(model, optimizer, resolved, forward, **problem)
        self._steps = 0
        self._sample_weight: Tensor | None = None

    @property
    def channels_last(self) -> bool | None:
        """Whether the model gets images `(N, C, H, W)` channels-last; shapes and values stay as they are.

        None, the default: on a CPU, in 32 or 16 bits, if the model has convolutions and its first pass
        goes through with it. True: always. Set it before the first `backward`.
        """
        return self._problem.layout.wanted

    @channels_last.setter
    def channels_last(self, wanted: bool | None) -> None:
        self._problem.layout.wanted = wanted

    @classmethod
    def takes_clean(cls, options: Mapping[str, Any]) -> bool:
        """Whether training with these options is on the clean examples too, without being told."""
        del options
        return cls.joins_clean

    @classmethod  # noqa: B027
    def check_installed(cls) -> None:
        """`MissingDependencyError` when the method needs an optional package that is not there.

        Asked when a run starts, not when its options are read: a finished run can be used without.
        """

    def prepare(self, preparation: Preparation) -> None:  # noqa: B027
        """Before the first step of a run: what the method wants to know of all its labels.

        Called by `gdw.Trainer`; what it finds belongs into `state_dict`, since a resumed run does not
        prepare again. By default nothing.
        """

    def label_posterior(self) -> Tensor | None:
        """The class probabilities `(N, C)` that the method holds for the true ones of the training set.

        None for methods that prepared no soft labels.
        """
        return None

    def clean_targets(self) -> Tensor | None:
        """What clean examples are trained towards, `(M, C)` probabilities; None: their own targets.

        Asked by the trainer before the first step, also after a resume, for the meta batches.
        """
        return None

    def count_examples_as(self, sample_weight: Tensor) -> None:
        """From now on training example i counts `sample_weight[i]` times: a factor of its gradient.

        `(N,)`, finite and not negative; best of mean one, since the mean over a batch stays one over its
        size. Examples beyond its end (clean ones that were joined) count once. `backward` then needs
        `indices`. It is the caller's, not part of `state_dict`.
        """
        self._sample_weight = sample_weight

    def trains_on(self, epoch: int, epochs: int) -> Literal["given", "clean"]:
        """Which examples the batches of `epoch` (from 1) of `epochs` are drawn from; asked by the trainer."""
        del epoch, epochs
        return "given"

    def begin_epoch(self, epoch: int, epochs: int) -> None:  # noqa: B027
        """Told by the trainer before the first step of `epoch` (from 1) of `epochs`, also after a resume."""

    def backward(
        self, batch: Batch, meta_batch: Batch | None = None, *, indices: Sequence[int] | None = None
    ) -> StepResult:
        """Accumulate the weighted gradient of `batch` into `.grad`, like `loss.backward()`.

        Args:
            batch: `(inputs, targets)`; inputs a tensor, a tuple or a mapping of tensors.
            meta_batch: the same, of clean examples.
            indices: which examples of the training set they are, for methods that remember each;
                clean examples among them count on from the end of the training set.

        Returns:
            The losses, logits and weights of the step.

        Raises:
            ConfigError: a meta batch is needed and was not given.
            ModelError: a model whose output is no logits, or that cannot be run twice.
            DataError: targets that do not fit the logits.
        """
        known = None if indices is None else torch.as_tensor(indices, dtype=torch.int64)
        run = self._counted(
            self._revise(self._problem.training_pass(batch), batch[1], known), known
        )
        # Before an engine may put those of its replay in their place.
        logits = run.logits.detach()
        decided = self._weigh(run, meta_batch)
        self._problem.accumulate(run, decided.weights)
        self._steps += 1
        return StepResult(
            loss=run.mean_loss,
            meta_loss=decided.meta_loss,
            logits=logits,
            hypergradient=decided.hypergradient,
            first_stage_weights=decided.first_stage,
            weights=(decided.weights if decided.shown is None else decided.shown).detach(),
        )

    def _revise(self, run: TrainingPass, targets: Tensor, indices: Tensor | None) -> TrainingPass:
        """The pass with another gradient at the logits (`class_gradient`, `losses`), for methods with
        another loss or other targets than the batch's; `indices` `(N,)` as given to `backward`."""
        del targets, indices
        return run

    def _counted(self, run: TrainingPass, indices: Tensor | None) -> TrainingPass:
        """The pass with each example's gradient times its sample weight, if there are any."""
        if self._sample_weight is None:
            return run
        if indices is None:
            raise ConfigError(
                "sample weights are kept by example: say which are in the batch, "
                "backward(batch, indices=...)"
            )
        known, gradient = self._sample_weight, run.class_gradient
        # Clean rows may stand behind those that the indices are of.
        factors = torch.ones(len(gradient), dtype=known.dtype)
        own = known[indices.clamp(max=len(known) - 1)]
        factors[: len(indices)] = own.where(indices < len(known), 1.0)
        shaped = factors.to(gradient).view(-1, *[1] * (gradient.dim() - 1))
        return replace(run, class_gradient=gradient * shaped)

    @abstractmethod
    def _weigh(self, run: TrainingPass, meta_batch: Batch | None) -> Weighting:
        """Decide the weights of a batch from its training pass and a meta batch."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs: counters, and what a subclass learns."""
        return {"method": type(self).__name__, "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state made by `state_dict` of the same method.

        Raises:
            ConfigError: the state is another method's.
        """
        if state.get("method") != type(self).__name__:
            raise ConfigError(
                f"expected a state of {type(self).__name__}, found one of {state.get('method')}: "
                "build the same method before loading"
            )
        self._steps = int(state["steps"])
