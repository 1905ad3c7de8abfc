"""The bilevel problem of one step: a model, its trainable parameters with learning rates, a loss.

Shapes: logits `(N, C, ...)`, targets as the loss takes them; a batch is the pair `(inputs, targets)`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from gdw.errors import ConfigError, ModelError
from gdw.functional import weighted_backward, weighted_class_gradient
from gdw.functional.losses import Loss, count_examples
from gdw.hypergradient.collective import Collective, is_spread
from gdw.hypergradient.head import Head
from gdw.hypergradient.inputs import (
    Batch,
    Forward,
    MemoryFormat,
    as_pair,
    default_forward,
    in_meta_batch,
)
from gdw.hypergradient.precision import Autocast, LossScale, relative_step
from gdw.hypergradient.preserve import (
    Copies,
    Fixed,
    Rate,
    trained,
)
from gdw.hypergradient.training_pass import TrainingPass, checked_pass

if TYPE_CHECKING:
    from gdw.hypergradient.chain import Chains

# A finite difference up to this size, relative to the parameters, is small beside an optimizer's step.
_FINE = 1e-5


@dataclass(frozen=True)
class Problem:
    """A model, the parameters that its optimizer trains, and how to compute logits and losses.

    Attributes:
        model: any module; unwrapped from `DistributedDataParallel`, because gradients are summed here.
        optimizer: its parameter groups give the trained parameters and their learning rates.
        loss: the loss of one example.
        forward: `(model, inputs) -> logits`.
        head: the module that the hypergradient is restricted to; None for all parameters.
        chains: what is known about an MLP that is computed in closed form; None: no model is.
        collective: takes gradients and sums over processes.
        autocast: whether the model runs under autocast.
        scale: the factor by which gradients are multiplied.
        memory_format: the memory format in which the model gets images.
        copies: memory for copies of the parameters, and of the buffers before and after a training pass.
        fixed: the memory that a captured step reads and writes.
        retain_graph: keep the training graph during the meta pass, see `finite_difference`. None: only
            where the step of that engine is coarse.
    """

    model: nn.Module
    optimizer: Optimizer
    loss: Loss
    forward: Forward = default_forward
    head: Head | None = None
    chains: Chains | None = None
    collective: Collective = field(default_factory=Collective)
    autocast: Autocast = field(default_factory=Autocast)
    scale: LossScale = field(default_factory=LossScale)
    memory_format: MemoryFormat = field(default_factory=MemoryFormat)
    copies: tuple[Copies, Copies, Copies] = field(
        default_factory=lambda: (Copies(), Copies(), Copies())
    )
    fixed: Fixed = field(default_factory=Fixed)
    retain_graph: bool | None = True

    @classmethod
    def of(
        cls,
        model: nn.Module,
        optimizer: Optimizer,
        loss: Loss,
        forward: Forward | None = None,
        *,
        head: bool | str = False,
        retain_graph: bool | None = True,
        features_every: int = 1,
        closed_form: bool = False,
    ) -> Problem:
        """Build the problem and check that its parts fit together.

        Args:
            model: any module.
            optimizer: the optimizer of its parameters.
            loss: the loss.
            forward: `(model, inputs) -> logits`; `default_forward` by default.
            head: the name of the module to restrict the hypergradient to; True for the last linear layer.
            retain_graph: see the attribute.
            features_every: for how many steps the features of a meta batch are used, see `Head`.
            closed_form: whether an MLP is to be recognised.

        Raises:
            ConfigError: the optimizer trains none of the model's parameters, or there is no such head.
        """
        if not isinstance(model, nn.Module) or not hasattr(optimizer, "param_groups"):
            raise ConfigError(
                "expected a model (torch.nn.Module) and its optimizer, in this order, found "
                f"{type(model).__name__} and {type(optimizer).__name__}"
            )
        inner = model.module if isinstance(model, DistributedDataParallel) else model
        part = None
        if head:
            name = head if isinstance(head, str) else None
            part = Head(inner, name, features_every=features_every)
        if forward is None and "transformers" in sys.modules:
            from gdw.hypergradient.tokens import token_forward

            forward = token_forward(inner)
        spread: dict[str, Any] = {}
        if is_spread(inner):
            from gdw.hypergradient.sharded import sharded_parts

            spread = sharded_parts(inner)
        chains = None
        if closed_form and not spread:
            from gdw.hypergradient.chain import Chains

            chains = Chains()
        parts = (inner, optimizer, loss, forward or default_forward, part, chains)
        problem = cls(*parts, retain_graph=retain_graph, **spread)
        if not problem.trainable():
            raise ConfigError(
                "the optimizer holds no trainable parameter of this model: build it from "
                "model.parameters() after the model is in its final form"
            )
        return problem

    def trainable(self) -> dict[str, tuple[nn.Parameter, Rate]]:
        """Return name, parameter and current learning rate of all trained parameters; a tied one once.

        Read again at every step, because training may freeze parameters and change learning rates.
        """
        return trained(self.collective.named(self.model), self.optimizer, self.fixed)

    def keeps_graph(self, training_pass: TrainingPass) -> bool:
        """Whether the model's gradient is taken through the graph of `training_pass` itself."""
        if self.retain_graph is not None:
            return self.retain_graph
        # Under autocast the finite difference runs without autocast: its graph is not the one to train by.
        if self.autocast.dtypes:
            return True
        parameters = [p for p, _ in self.trainable().values()]
        return relative_step(parameters, training_pass.logits, self.autocast) > _FINE

    def logits(self, inputs: Any) -> Tensor:
        """Compute the logits `(N, C, ...)` of `inputs`."""
        logits = self.forward(self.model, self.memory_format.apply(self.model, inputs))
        if logits.dim() < 2 or not logits.is_floating_point():
            raise ModelError(
                f"logits must be floating point of shape (N, C) or (N, C, ...), got {logits.dtype} "
                f"of shape {tuple(logits.shape)}"
            )
        return logits

    def training_pass(self, batch: Batch) -> TrainingPass:
        """Run the one forward pass that moves BatchNorm's statistics, as in plain training.

        Raises:
            ModelError: the model changes its inputs in place.
            DataError: the targets do not fit the logits.
        """
        inputs, targets = as_pair(batch, "the training batch")
        self.fixed.devices = None
        logits, left = checked_pass(self, inputs)
        losses, gradient = self.loss.with_gradient(logits, targets)
        local_count = count_examples(losses, targets)
        return TrainingPass(
            inputs=inputs,
            logits=logits,
            losses=losses,
            class_gradient=gradient,
            mean_loss=losses.sum() / local_count,
            count=self.collective.sum_scalar(local_count),
            **left,
        )

    def meta_loss(self, batch: Batch, forward: Callable[[Any], Tensor]) -> Tensor:
        """This process's share of the global mean loss of the meta batch; the caller restores the buffers."""
        inputs, targets = as_pair(batch, "the meta batch")
        with torch.enable_grad():
            logits = forward(inputs)
            with in_meta_batch():
                losses = self.loss.per_example(logits, targets)
        count = self.collective.sum_scalar(count_examples(losses.detach(), targets))
        return losses.sum() / count

    def meta_cotangent(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of `meta_loss` and its gradient at the logits, times the scale, with one copy of them."""
        with in_meta_batch():
            losses, gradient = self.loss.with_gradient(logits, targets)
        count = self.collective.sum_scalar(count_examples(losses, targets))
        cotangent = self.scale.scaled(gradient.div_(count)).to(logits.dtype)
        return losses.sum() / count, cotangent

    def weighted_gradient(
        self, training_pass: TrainingPass, weights: Tensor, parameters: Sequence[nn.Parameter]
    ) -> list[Tensor]:
        """Compute `(1/n) Σ_i (ω_i ⊙ D1_i) D2_i` over the global batch: one dense tensor per parameter.

        The graph of the training pass is freed, unless `keeps_graph`.

        Args:
            training_pass: the forward pass of the training batch.
            weights: ω, `(N, C, ...)`.
            parameters: those to differentiate with respect to.
        """
        try:
            gradient = self.collective.differentiate(
                training_pass.logits,
                parameters,
                self._cotangent(training_pass, weights),
                retain_graph=self.keeps_graph(training_pass),
            )
        except RuntimeError as error:
            if "donated" not in str(error):
                raise
            raise ModelError(
                "the compiled model frees its buffers after one backward pass, but a step takes two: "
                "use retain_graph=False, or set torch._functorch.config.donated_buffer = False before the "
                "model is first called"
            ) from error
        return self.collective.sum([self.scale.divided(t) for t in gradient])

    def accumulate(
        self, training_pass: TrainingPass, weights: Tensor, *, overwrite: bool = False
    ) -> None:
        """Add `(1/n) Σ_i (ω_i ⊙ D1_i) D2_i` over the global batch to `.grad`; frees the training graph.

        It is multiplied by the scale.

        Args:
            training_pass: its `logits` have the graph and its `class_gradient` is `D1`.
            weights: ω, `(N, C, ...)`.
            overwrite: whether the memory of `D1` may be used.
        """
        taken = self.fixed.gradients
        if self.collective.is_alone and taken is None:
            count = self.scale.divided(training_pass.count)
            d1 = training_pass.class_gradient
            weighted_backward(training_pass.logits, weights, d1, count, overwrite=overwrite)
        else:
            parameters = [p for p, _ in self.trainable().values()]
            cotangent = self._cotangent(training_pass, weights)
            local = self.collective.used_gradients(training_pass.logits, parameters, cotangent)
            if taken is None:
                self.collective.add_to_gradients(parameters, local)
            else:
                taken += zip(parameters, local, strict=True)
        self.scale.note_backward()

    def _cotangent(self, training_pass: TrainingPass, weights: Tensor) -> Tensor:
        """The gradient at the logits, multiplied by the scale."""
        count = self.scale.divided(training_pass.count)
        gradient = weighted_class_gradient(weights, training_pass.class_gradient, count)
        return gradient.to(training_pass.logits.dtype)

    def positions(self, indices: Tensor, rows: Tensor) -> Tensor:
        """`indices` `(N,)` of examples for each of `rows` `(N·T, ...)` where every token is one."""
        if not hasattr(self.forward, "token_targets"):
            return indices
        return indices.repeat_interleave(len(rows) // len(indices))

    def devices(self) -> list[torch.device]:
        """The devices of the model's parameters, as they were at the start of the step."""
        if self.fixed.devices is None:
            self.fixed.devices = list({p.device for p in self.model.parameters()})
        return self.fixed.devices
