"""The bilevel problem of one step: a model, its trainable parameters with learning rates, a loss.

Shapes: logits `(N, C, ...)`, targets as the loss takes them; a batch is the pair `(inputs, targets)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from gdw.errors import ConfigError, ModelError
from gdw.functional import weighted_backward, weighted_class_gradient
from gdw.functional.losses import Loss, count_examples
from gdw.hypergradient.batch import Batch, Forward, as_pair, default_forward, versions_of
from gdw.hypergradient.collective import Collective
from gdw.hypergradient.head import Captured, Head
from gdw.hypergradient.layout import Layout
from gdw.hypergradient.precision import Autocast, relative_step
from gdw.hypergradient.stillness import Buffers, RandomState, still_buffers
from gdw.hypergradient.training_pass import TrainingPass

# Steps of a finite difference up to this size, relative to the parameters, are lost in an optimizer's own.
_FINE = 1e-5


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
        autocast: what the model was seen to run under.
        layout: the memory format that the model gets images in.
        retain_graph: keep the training graph through the meta pass, see `finite_difference`; None: only
            where that engine's step is coarse.
    """

    model: nn.Module
    optimizer: Optimizer
    loss: Loss
    forward: Forward = default_forward
    head: Head | None = None
    collective: Collective = field(default_factory=Collective)
    autocast: Autocast = field(default_factory=Autocast)
    layout: Layout = field(default_factory=Layout)
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
    ) -> Problem:
        """Build the problem, or say what does not fit.

        `head` names the module to restrict the hypergradient to; True for the last linear layer; see
        `Head` for `features_every`.

        Raises:
            ConfigError: the optimizer trains none of the model's parameters, or there is no such head.
        """
        inner = model.module if isinstance(model, DistributedDataParallel) else model
        part = None
        if head:
            name = head if isinstance(head, str) else None
            part = Head(inner, name, features_every=features_every)
        problem = cls(
            inner, optimizer, loss, forward or default_forward, part, retain_graph=retain_graph
        )
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
            id(p): _rate(group) for group in self.optimizer.param_groups for p in group["params"]
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

    def keeps_graph(self, run: TrainingPass) -> bool:
        """Whether the graph of `run` must live until the model's gradient is taken."""
        if self.retain_graph is not None:
            return self.retain_graph
        # Under autocast the finite difference leaves it: its pass is not the one to train by.
        if self.autocast.dtypes:
            return True
        parameters = [p for p, _ in self.trainable().values()]
        return relative_step(parameters, run.logits, self.autocast) > _FINE

    def logits(self, inputs: Any) -> Tensor:
        """The model's logits `(N, C, ...)` for `inputs`."""
        logits = self.forward(self.model, self.layout.place(self.model, inputs))
        if logits.dim() < 2 or not logits.is_floating_point():
            raise ModelError(
                f"logits must be floating point of shape (N, C) or (N, C, ...), got {logits.dtype} "
                f"of shape {tuple(logits.shape)}"
            )
        return logits

    def training_pass(self, batch: Batch) -> TrainingPass:
        """The one forward pass that moves BatchNorm's statistics, as in plain training.

        `batch` is the pair `(inputs, targets)`.

        Raises:
            ModelError: a model that changes its inputs in place.
            DataError: targets that do not fit the logits.
        """
        inputs, targets = as_pair(batch, "the training batch")
        state, buffers = RandomState.capture(self.devices()), Buffers(self.model)
        versions = versions_of(inputs)
        try:
            logits, captured = self._watched_pass(inputs)
        except RuntimeError:
            if not self.layout.give_up():
                raise
            state.restore()
            buffers.restore()
            logits, captured = self._watched_pass(inputs)
        self.layout.prove()
        if versions_of(inputs) != versions:
            raise ModelError(
                "the model changes its inputs in place, but they are needed again in the same step: "
                "make it work on a copy (x = x.clone())"
            )
        losses, gradient = self.loss.with_gradient(logits, targets)
        own_count = count_examples(losses, targets)
        return TrainingPass(
            inputs=inputs,
            logits=logits,
            losses=losses,
            class_gradient=gradient,
            mean_loss=losses.sum() / own_count,
            count=self.collective.sum_scalar(own_count),
            random_state=state,
            buffers=buffers,
            captured=captured,
        )

    def _watched_pass(self, inputs: Any) -> tuple[Tensor, Captured | None]:
        """The logits, with what the head was handed, if there is one."""
        with (
            self.autocast.watching(self.model, self.devices()[0]),
            self.capturing() if self.head else nullcontext() as captured,
        ):
            return self.logits(inputs), captured

    def capturing(self) -> AbstractContextManager[Captured]:
        """Inside, one forward pass is watched by the head, see `Head.capturing`."""
        assert self.head is not None
        return self.head.capturing(self.devices())

    def meta_loss(self, batch: Batch, forward: Callable[[Any], Tensor]) -> Tensor:
        """This process's share of the global mean loss on the meta batch, differentiable, a scalar.

        Buffers stay as they are: the meta batch must not leak into BatchNorm's statistics.
        """
        inputs, targets = as_pair(batch, "the meta batch")
        with torch.enable_grad(), still_buffers(self.model):
            logits = forward(inputs)
            losses = self.loss.per_example(logits, targets)
        count = self.collective.sum_scalar(count_examples(losses.detach(), targets))
        return losses.sum() / count

    def weighted_gradient(
        self, run: TrainingPass, weights: Tensor, parameters: Sequence[nn.Parameter]
    ) -> list[Tensor]:
        """`(1/n) Σ_i (ω_i ⊙ D1_i) D2_i` over the global batch, one tensor a parameter, dense.

        Keeps the graph of the training pass if `keeps_graph`. `weights`: `(N, C, ...)`.
        """
        try:
            gradient = torch.autograd.grad(
                run.logits,
                parameters,
                _cotangent(run, weights),
                retain_graph=self.keeps_graph(run),
                materialize_grads=True,
            )
        except RuntimeError as error:
            if "donated" not in str(error):
                raise
            raise ModelError(
                "the compiled model gives its buffers away after one backward pass, but a step takes two: "
                "use retain_graph=False, or set torch._functorch.config.donated_buffer = False before the "
                "model is first called"
            ) from error
        return self.collective.sum([dense(t) for t in gradient])

    def accumulate(self, run: TrainingPass, weights: Tensor) -> None:
        """Add the weighted gradient of the global batch to `.grad`; frees the training graph."""
        if self.collective.world_size == 1:
            weighted_backward(run.logits, weights, run.class_gradient, run.count)
            return
        parameters = [p for p, _ in self.trainable().values()]
        own = torch.autograd.grad(
            run.logits, parameters, _cotangent(run, weights), allow_unused=True
        )
        # A parameter that no process used keeps no gradient, so that weight decay passes it by.
        used = torch.tensor([float(g is not None) for g in own], device=run.logits.device)
        filled = [
            torch.zeros_like(p) if g is None else dense(g)
            for p, g in zip(parameters, own, strict=True)
        ]
        used, *summed = self.collective.sum([used, *filled])
        for p, total, mine, count in zip(parameters, summed, own, used.tolist(), strict=True):
            if not count:
                continue
            # Optimizers for sparse gradients take no others.
            sparse = mine is not None and mine.is_sparse
            g = total.to_sparse(mine.sparse_dim()) if sparse else total
            p.grad = g if p.grad is None else p.grad + g

    def devices(self) -> list[torch.device]:
        """Where the model's parameters are."""
        return list({p.device for p in self.model.parameters()})


def dense(gradient: Tensor) -> Tensor:
    """The gradient, of an embedding say, as an ordinary tensor."""
    return gradient.to_dense() if gradient.is_sparse else gradient


def _cotangent(run: TrainingPass, weights: Tensor) -> Tensor:
    return weighted_class_gradient(weights, run.class_gradient, run.count).to(run.logits.dtype)


def _rate(group: Mapping[str, Any]) -> float:
    if "lr" not in group:
        raise ConfigError(
            "the optimizer has no learning rate ('lr') in its parameter groups, which the virtual step "
            "needs: use one that has"
        )
    return float(group["lr"])
