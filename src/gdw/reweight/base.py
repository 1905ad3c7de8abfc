"""The contract of all methods: `backward(batch, meta_batch)` fills `.grad`, then the optimizer steps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from gdw.errors import ConfigError, ModelError
from gdw.files.representation import ShortRepr
from gdw.functional.losses import resolve_loss
from gdw.functional.weights import weighted_rows
from gdw.hypergradient import Problem, TrainingPass
from gdw.hypergradient.inputs import Batch, as_indices, as_pairs, moved
from gdw.options import described, signature_of
from gdw.reweight.options import MethodOptions, WeightingOptions
from gdw.reweight.preparation import CleanCheck, PlannedFit, Preparation
from gdw.reweight.step_result import StepResult


class Reweighter(ShortRepr, ABC):
    """A method that weights the gradient of each example, class by class.

    A subclass declares its options in `Options` and implements one hook, `_step`.
    """

    Options: ClassVar[type[MethodOptions]] = WeightingOptions

    needs_meta: ClassVar[bool] = True
    """Whether `backward` uses a meta batch."""
    needs_clean: ClassVar[bool] = True
    """Whether the method needs clean examples, in `backward` or elsewhere."""
    fewest_clean: ClassVar[int] = 1
    """How many clean examples the method needs, if it needs some."""
    fewest_of_class: ClassVar[int] = 1
    """With fewer clean examples of a class it gains from others whose labels only look right."""

    joins_clean: ClassVar[bool] = False
    """Whether training batches are drawn from the training set with the clean examples appended to it."""

    repeats: ClassVar[bool] = True
    """Whether a step runs the model again, in the state in which the training pass found it."""
    captures: ClassVar[bool] = False
    """Whether `gdw.reweight.captured` suits a step of this very class, not of a subclass."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__signature__ = signature_of(cls.Options)  # type: ignore[attr-defined]
        if cls.__doc__:
            cls.__doc__ += f"\n    Options:\n{described(cls.Options)}\n"

    def __init__(self, model: nn.Module, optimizer: Optimizer, **options: Any) -> None:
        """
        Args:
            model: any module that returns logits `(N, C, ...)`.
            optimizer: the optimizer that will step; its parameter groups give the learning rates.
            options: see the class.

        Raises:
            ConfigError: an option is unknown or does not fit, or the optimizer trains nothing of the model.
        """
        self.options: Any = self.Options(**options)
        resolved = resolve_loss(
            getattr(self.options, "loss", "cross_entropy"),
            label_smoothing=self.options.label_smoothing,
            ignore_index=self.options.ignore_index,
        )
        parts = self._problem_options()
        self._problem = Problem.of(model, optimizer, resolved, self.options.forward, **parts)
        self._problem.scale.watch(optimizer)
        self._problem.fixed.repeats = self.repeats
        self._steps = 0
        self._sample_weight: Tensor | None = None
        self._batches: Any = None
        self.names_rows = True  # of batches that make the loss NaN; the trainer knows the data sets

    def _shown(self) -> dict[str, Any]:
        parts = {"model": type(self.model), "optimizer": type(self._problem.optimizer)}
        return {**parts, **dict(self.options.__repr_args__())}

    @property
    def _total(self) -> int | None:
        """How many positions `indices` may name; None: any number."""
        return None

    def _problem_options(self) -> dict[str, Any]:
        """Further keyword arguments of `Problem.of`."""
        return {}

    @property
    def model(self) -> nn.Module:
        """The model whose gradient is weighted, without a `DistributedDataParallel` wrapper."""
        return self._problem.model

    @property
    def channels_last(self) -> bool | None:
        """Whether the model gets images `(N, C, H, W)` channels-last; shapes and values do not change.

        None, the default: on a CPU or an NVIDIA GPU, in 32 or 16 bits, if the model has convolutions and its
        first pass succeeds with it. True: always. Set it before the first `backward`.
        """
        return self._problem.memory_format.channels_last

    @channels_last.setter
    def channels_last(self, wanted: bool | None) -> None:
        self._problem.memory_format.channels_last = wanted

    @classmethod
    def takes_clean(cls, options: Mapping[str, Any]) -> bool:
        """Whether the method with these options trains on the clean examples without being told to."""
        del options
        return cls.joins_clean

    @classmethod
    def check_installed(cls) -> None:
        """Raise `MissingDependencyError` if the method needs an optional package that is not installed.

        Called when a run starts, not when its options are read: a finished run can be used without it.
        """

    def planned_fits(self, preparation: Preparation) -> Sequence[PlannedFit]:
        """The models that `prepare` will train, in order. The time that it takes is estimated from them."""
        return ()

    def prepare(self, preparation: Preparation) -> None:
        """Use all training labels before the first step of a run. The default does nothing.

        `gdw.Trainer` calls it; in a loop of your own call `gdw.prepare(reweighter, train, meta)`. The
        results are part of `state_dict`, because a resumed run is not prepared again.
        """

    def label_posterior(self) -> Tensor | None:
        """Return the probabilities `(N, C)` of the true classes of the training set; None if unknown."""
        return None

    def clean_targets(self) -> Tensor | None:
        """Return the targets `(M, C)` of clean examples; None: their own labels."""
        return None

    def clean_check(self) -> CleanCheck | None:
        """Return how well models did on clean examples that they were trained without; None if unknown."""
        return None

    def count_examples_as(self, sample_weight: Tensor) -> None:
        """From now on multiply the gradient of training example i by `sample_weight[i]`.

        `backward` then needs `indices`. The weights are not part of `state_dict`.

        Args:
            sample_weight: `(N,)`, finite and not negative, best with mean one. Indices beyond its end
                (clean examples that were appended) have weight one.
        """
        self._sample_weight = sample_weight

    def trains_on(self, epoch: int, epochs: int) -> Literal["given", "clean"]:
        """Which examples the batches of `epoch` (from 1) of `epochs` are drawn from."""
        del epoch, epochs
        return "given"

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Called before the first step of `epoch` (from 1) of `epochs`, also after a resume."""

    def backward(
        self,
        batch: Batch,
        meta_batch: Batch | None = None,
        *,
        indices: Sequence[int] | None = None,
        scaler: GradScaler | None = None,
    ) -> StepResult:
        """Add the weighted gradient of `batch` to `.grad`, like `loss.backward()`.

        Args:
            batch: `(inputs, targets)`; inputs are a tensor, a tuple or a mapping of tensors.
            meta_batch: the same, of clean examples.
            indices: the positions `(N,)` of the examples in the training set, for methods that keep
                something for each example. Clean examples have positions after the training set.
            scaler: the `GradScaler` of your loop, for float16. `.grad` is then multiplied by its scale, as
                by `scaler.scale(loss).backward()`; call `scaler.step(optimizer)` and `scaler.update()`.

        Returns:
            The losses, logits and weights of the step.

        Raises:
            ConfigError: the method needs a meta batch, or indices, and got none.
            ModelError: the output of the model is no logits, or the model cannot be run twice.
            DataError: the targets do not fit the logits, a batch contains NaN or infinity, or indices are
                no positions in the training set.
        """
        self._problem.scale.use(scaler)
        ignored, device = self._problem.loss.ignore_index, next(self.model.parameters()).device
        pairs = as_pairs(batch, meta_batch, ignored, device, self._problem.forward)
        self._batches = batch, meta_batch = pairs
        if indices is not None and self.names_rows:
            known: Tensor | None = as_indices(indices, batch, self._total)
        else:
            known = None if indices is None else torch.as_tensor(indices, dtype=torch.int64)
        try:
            result = self._step(batch, meta_batch, known)
        except RuntimeError as error:
            if "fabric.backward" not in str(error):
                raise
            raise ModelError(
                "a model that fabric.setup wrapped for mixed precision allows only fabric.backward: give the "
                "reweighter the model itself, and call backward inside `with fabric.autocast():`"
            ) from error
        finally:
            self._batches = None
        self._steps += 1
        return result

    @abstractmethod
    def _step(self, batch: Batch, meta_batch: Batch | None, indices: Tensor | None) -> StepResult:
        """One step: `_forward`, the decision of the method, `_backward`."""

    def _forward(self, batch: Batch, indices: Tensor | None) -> TrainingPass:
        """Run the forward pass of a training batch; `D1` includes the sample weights."""
        training_pass = self._problem.training_pass(batch)
        return self._sample_weighted(training_pass, training_pass.class_gradient, indices)

    def _backward(
        self,
        training_pass: TrainingPass,
        weights: Tensor,
        *,
        first_stage: Tensor | None = None,
        hypergradient: Tensor | None = None,
        meta_loss: Tensor | None = None,
        logits: Tensor | None = None,
        reported: Tensor | None = None,
    ) -> StepResult:
        """Add the weighted gradient to `.grad` and return the result of the step.

        Args:
            training_pass: the forward pass, with the `D1` to use, whose memory is used up.
            weights: class-level weights, `(N, C, ...)`.
            first_stage, hypergradient, meta_loss: for the result.
            logits: those to take the gradient through, if an engine returned others.
            reported: `StepResult.weights`, where they differ from `weights`.
        """
        self._require_finite(training_pass.mean_loss, meta_loss)
        result = StepResult(
            loss=training_pass.mean_loss,
            meta_loss=meta_loss,
            logits=training_pass.logits.detach(),
            hypergradient=hypergradient,
            first_stage_weights=first_stage,
            weights=(weights if reported is None else reported).detach(),
        )
        used = training_pass if logits is None else replace(training_pass, logits=logits)
        self._problem.accumulate(used, weights, overwrite=True)
        return result

    def _require_finite(self, loss: Tensor, meta_loss: Tensor | None) -> None:
        """Blame rows of the batches for losses that are not finite."""
        # Another device would be waited for, so it is asked at some steps only, outside of captured ones.
        unasked = loss.device.type != "cpu" and (self._steps % 50 or self._problem.fixed.rates)
        if not self.names_rows or unasked:
            return
        if not all(math.isfinite(one) for one in (loss, meta_loss) if one is not None):
            from gdw.hypergradient.not_finite import blame_rows

            blame_rows(self._problem, *self._batches)

    def _sample_weighted(
        self, training_pass: TrainingPass, class_gradient: Tensor, indices: Tensor | None
    ) -> TrainingPass:
        """The pass with `class_gradient` times the sample weights, if there are any, as its `D1`."""
        weights = self._sample_weight
        if weights is None:
            return replace(training_pass, class_gradient=class_gradient)
        if indices is None:
            raise ConfigError(
                "sample weights belong to training examples: say which examples are in the batch, "
                "backward(batch, indices=...)"
            )
        self._sample_weight = weights = weights.to(class_gradient)
        each = moved(self._problem.positions(indices, class_gradient), weights.device)
        gradient = weighted_rows(class_gradient, weights, each)
        return replace(training_pass, class_gradient=gradient)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs: counters, and what the method has learned."""
        return {"method": type(self).__name__, "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state of `state_dict`; `ConfigError` if it belongs to another method."""
        if state.get("method") != type(self).__name__:
            raise ConfigError(
                f"expected a state of {type(self).__name__}, found one of {state.get('method')}: "
                "build the same method before loading"
            )
        self._steps = int(state["steps"])
