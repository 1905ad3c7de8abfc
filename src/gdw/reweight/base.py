"""The contract: `backward(batch, meta_batch) -> StepResult` fills `.grad`, the user's optimizer steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.errors import ConfigError
from gdw.functional.losses import PerExample, resolve_loss
from gdw.hypergradient import HEAD, Engine, Problem, TrainingPass, resolve_engine
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
    """

    weights: Tensor
    first_stage: Tensor | None = None
    hypergradient: Tensor | None = None
    meta_loss: Tensor | None = None


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


class Reweighter(ABC):
    """A method of weighting the gradient of each example, class by class.

    Subclasses decide the weights in `_weigh`; the forward pass, the weighted backward pass and the
    checks are the same for all.
    """

    needs_meta: ClassVar[bool] = True
    """Whether `backward` looks at a meta batch."""

    needs_clean: ClassVar[bool] = True
    """Whether clean examples are needed, in `backward` or in any other way."""

    _head: bool | str = False

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        forward: Forward | None = None,
        loss: str | PerExample = "cross_entropy",
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model: any module that returns logits `(N, C, ...)`.
            optimizer: the one that will step; its parameter groups give the learning rates.
            forward: `(model, inputs) -> logits`, where `model(inputs)` is not enough.
            loss: `"cross_entropy"` (targets: class indices or probabilities),
                `"binary_cross_entropy"` (multi-label), or a function `(logits, targets) -> (N, ...)`.
            label_smoothing: for cross-entropy.

        Raises:
            ConfigError: unknown loss, or an optimizer that trains nothing of the model.
        """
        resolved = resolve_loss(loss, label_smoothing=label_smoothing)
        self._problem = Problem.of(model, optimizer, resolved, forward, head=self._head)
        self._steps = 0

    def prepare(self, preparation: Preparation) -> None:  # noqa: B027
        """Before the first step of a run: what the method wants to know of all its labels.

        Called by `gdw.Trainer`; what it finds belongs into `state_dict`, since a resumed run does not
        prepare again. By default nothing.
        """

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
        run = self._revise(self._problem.training_pass(batch), batch[1], known)
        decided = self._weigh(run, meta_batch)
        self._problem.accumulate(run, decided.weights)
        self._steps += 1
        return StepResult(
            loss=run.mean_loss,
            meta_loss=decided.meta_loss,
            logits=run.logits.detach(),
            hypergradient=decided.hypergradient,
            first_stage_weights=decided.first_stage,
            weights=decided.weights.detach(),
        )

    def _revise(self, run: TrainingPass, targets: Tensor, indices: Tensor | None) -> TrainingPass:
        """The pass with another gradient at the logits (`class_gradient`, `losses`), for methods with
        another loss or other targets than the batch's; `indices` `(N,)` as given to `backward`."""
        del targets, indices
        return run

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


class MetaReweighter(Reweighter):
    """A reweighter that asks a meta batch through a hypergradient."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        hypergradient: str = "finite_difference",
        head: str | None = None,
        forward: Forward | None = None,
        loss: str | PerExample = "cross_entropy",
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward, loss, label_smoothing: as for `Reweighter`.
            hypergradient: `"finite_difference"`, `"forward"`, `"reference"` or `"head"`.
            head: for `"head"`, the name of the module that it is restricted to; by default the last
                `nn.Linear`.
        """
        self._engine: Engine = resolve_engine(hypergradient, head=head)
        self._head = head or hypergradient == HEAD
        super().__init__(
            model, optimizer, forward=forward, loss=loss, label_smoothing=label_smoothing
        )

    @staticmethod
    def _required(meta_batch: Batch | None) -> Batch:
        if meta_batch is None:
            raise ConfigError(
                "this method learns its weights from clean examples: call "
                "backward(batch, meta_batch), for instance in a loop over "
                "gdw.data.pair(train_loader, meta_loader)"
            )
        return meta_batch
