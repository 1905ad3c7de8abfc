"""The bilevel problem of one step: a model, its trainable parameters with learning rates, a loss.

Shapes: logits `(N, C, ...)`, targets as the loss takes them; a batch is the pair `(inputs, targets)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from gdw.errors import ConfigError, ModelError
from gdw.functional import weighted_backward, weighted_class_gradient
from gdw.functional.losses import Loss, count_examples
from gdw.hypergradient.collective import Collective
from gdw.hypergradient.head import Captured, Head
from gdw.hypergradient.stillness import RandomState, still_buffers

Forward = Callable[[nn.Module, Any], Tensor]
Batch = tuple[Any, Tensor]


def default_forward(model: nn.Module, inputs: Any) -> Tensor:
    """Logits of `inputs`: a tensor, a tuple (positional arguments) or a mapping (keyword arguments).

    An output with `.logits`, or a mapping that has `"logits"`, is understood (Hugging Face style).

    Raises:
        ModelError: the output holds no tensor of logits.
    """
    if isinstance(inputs, Mapping):
        output = model(**inputs)
    elif isinstance(inputs, (tuple, list)):
        output = model(*inputs)
    else:
        output = model(inputs)
    logits = getattr(output, "logits", output)
    if isinstance(logits, Mapping) and "logits" in logits:
        logits = logits["logits"]
    if not isinstance(logits, Tensor):
        raise ModelError(
            f"the model must return logits (a tensor, or an object with .logits), "
            f"got {type(output).__name__}: pass forward=lambda model, inputs: ..."
        )
    return logits


@dataclass(frozen=True)
class TrainingPass:
    """What the forward pass of a training batch leaves behind.

    Attributes:
        inputs: the batch's inputs, for a second pass.
        logits: `(N, C, ...)`, with their graph.
        losses: `(N, ...)`, detached.
        class_gradient: `D1`, `(N, C, ...)`, detached, float32 or wider.
        count: the number of labelled examples in the global batch, a scalar tensor.
        random_state: the random state from which the pass drew.
        captured: what the head was handed, if there is one.
    """

    inputs: Any
    logits: Tensor
    losses: Tensor
    class_gradient: Tensor
    count: Tensor
    random_state: RandomState
    captured: Captured | None = None


@dataclass(frozen=True)
class Problem:
    """A model with the parameters that its optimizer trains, and how to get logits and losses.

    Attributes:
        model: any module; unwrapped from `DistributedDataParallel`, whose reduction happens here.
        optimizer: its parameter groups say which parameters train, and at which learning rate.
        loss: the loss of one example.
        forward: `(model, inputs) -> logits`.
        head: the part that the hypergradient is restricted to; None for all parameters.
        collective: sums over processes.
    """

    model: nn.Module
    optimizer: Optimizer
    loss: Loss
    forward: Forward = default_forward
    head: Head | None = None
    collective: Collective = field(default_factory=Collective)

    @classmethod
    def of(
        cls,
        model: nn.Module,
        optimizer: Optimizer,
        loss: Loss,
        forward: Forward | None = None,
        *,
        head: bool | str = False,
    ) -> Problem:
        """Build the problem, or say what does not fit.

        `head` names the module to restrict the hypergradient to; True for the last linear layer.

        Raises:
            ConfigError: the optimizer trains none of the model's parameters, or there is no such head.
        """
        inner = model.module if isinstance(model, DistributedDataParallel) else model
        part = Head(inner, head if isinstance(head, str) else None) if head else None
        problem = cls(inner, optimizer, loss, forward or default_forward, part)
        if not problem.trainable():
            raise ConfigError(
                "the optimizer holds no trainable parameter of this model: build it from "
                "model.parameters() after the model is in its final form"
            )
        return problem

    def trainable(self) -> dict[str, tuple[nn.Parameter, float]]:
        """Name, parameter and current learning rate of all that is trained; a tied parameter once.

        Read anew at every step, since parameters are frozen and learning rates scheduled as one goes.
        """
        rates = {
            id(p): float(group["lr"])
            for group in self.optimizer.param_groups
            for p in group["params"]
        }
        return {
            name: (p, rates[id(p)])
            for name, p in self.model.named_parameters()
            if p.requires_grad and id(p) in rates
        }

    def trainable_in_head(self) -> dict[str, tuple[nn.Parameter, float]]:
        """The part of `trainable` that belongs to the head.

        Raises:
            ConfigError: none does.
        """
        assert self.head is not None
        own = {k: v for k, v in self.trainable().items() if self.head.owns(v[0])}
        if not own:
            raise ConfigError(
                f"the optimizer trains no parameter of the head {self.head.name!r}: name a module "
                "that is trained, or use hypergradient='finite_difference'"
            )
        return own

    def logits(self, inputs: Any) -> Tensor:
        """The model's logits `(N, C, ...)` for `inputs`."""
        logits = self.forward(self.model, inputs)
        if logits.dim() < 2 or not logits.is_floating_point():
            raise ModelError(
                f"logits must be floating point of shape (N, C) or (N, C, ...), got {logits.dtype} "
                f"of shape {tuple(logits.shape)}"
            )
        return logits

    def training_pass(self, batch: Batch) -> TrainingPass:
        """The one forward pass that moves BatchNorm's statistics, as in plain training.

        Raises:
            ModelError: targets that the logits have no class for.
        """
        inputs, targets = batch
        state = RandomState.capture(self.devices())
        captured = None
        if self.head is None:
            logits = self.logits(inputs)
        else:
            with self.capturing() as captured:
                logits = self.logits(inputs)
        self.check_targets(logits, targets)
        losses, gradient = self.loss.with_gradient(logits, targets)
        count = self.collective.sum_scalar(count_examples(losses, targets))
        return TrainingPass(inputs, logits, losses, gradient, count, state, captured)

    def capturing(self) -> AbstractContextManager[Captured]:
        """Inside, one forward pass is watched by the head, see `Head.capturing`."""
        assert self.head is not None
        return self.head.capturing(self.devices())

    def meta_loss(self, batch: Batch, forward: Callable[[Any], Tensor]) -> Tensor:
        """This process's share of the global mean loss on the meta batch, differentiable, a scalar.

        Buffers stay as they are: the meta batch must not leak into BatchNorm's statistics.
        """
        inputs, targets = batch
        with torch.enable_grad(), still_buffers(self.model):
            logits = forward(inputs)
            self.check_targets(logits, targets)
            losses = self.loss.per_example(logits, targets)
        count = self.collective.sum_scalar(count_examples(losses.detach(), targets))
        return losses.sum() / count

    def weighted_gradient(
        self, run: TrainingPass, weights: Tensor, parameters: Sequence[nn.Parameter]
    ) -> list[Tensor]:
        """`(1/n) Σ_i (ω_i ⊙ D1_i) D2_i` over the global batch, one tensor a parameter, dense.

        Keeps the graph of the training pass. `weights`: `(N, C, ...)`.
        """
        cotangent = weighted_class_gradient(weights, run.class_gradient, run.count)
        gradient = torch.autograd.grad(
            run.logits,
            parameters,
            cotangent.to(run.logits.dtype),
            retain_graph=True,
            materialize_grads=True,
        )
        return self.collective.sum([t.to_dense() if t.is_sparse else t for t in gradient])

    def accumulate(self, run: TrainingPass, weights: Tensor) -> None:
        """Add the weighted gradient of the global batch to `.grad`; frees the training graph."""
        if self.collective.world_size == 1:
            weighted_backward(run.logits, weights, run.class_gradient, run.count)
            return
        parameters = [p for p, _ in self.trainable().values()]
        for p, g in zip(parameters, self.weighted_gradient(run, weights, parameters), strict=True):
            p.grad = g if p.grad is None else p.grad + g

    def check_targets(self, logits: Tensor, targets: Tensor) -> None:
        """Raise `ModelError` for a class index that the logits `(N, C, ...)` have no entry for."""
        if targets.is_floating_point() or logits.device.type != "cpu" or not targets.numel():
            return  # on an accelerator the comparison would wait for the device
        highest = int(targets.max())
        if highest >= logits.shape[1]:
            raise ModelError(
                f"the model has {logits.shape[1]} logits but a target is class {highest}: "
                f"its last layer needs at least {highest + 1} outputs"
            )

    def devices(self) -> list[torch.device]:
        """Where the model's parameters are."""
        return list({p.device for p in self.model.parameters()})
