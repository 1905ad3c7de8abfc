"""The meta gradient of earlier steps, averaged: most steps then have no meta pass of their own.

The hypergradient is `G_ij = −(1/n) D1_ij u_ij` with `u = J_z(θ) (η ⊙ g)`. D1 and J differ from batch to
batch. The gradient g of the meta loss changes slowly, and that of one meta batch is noisy. Here g is that of
the meta loss at θ, without a virtual step, computed at every k-th step and averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gdw.hypergradient.engines import Hypergradient, difference_quotient, meta_gradient
from gdw.hypergradient.inputs import Batch
from gdw.hypergradient.preserve import MovableParameters, positions
from gdw.hypergradient.problem import Problem
from gdw.hypergradient.training_pass import TrainingPass


class KeptGradient:
    """An average of meta gradients, `ḡ = Σ_i β^(t−i) g_i / Σ_i β^(t−i)` over the meta steps i up to t.

    Args:
        every: a new gradient is computed at every so many steps.
        momentum: β, from 0 to 1; 0: the last gradient alone.
    """

    def __init__(self, every: int, momentum: float) -> None:
        self._every, self._momentum = every, momentum
        self._sum: dict[str, Tensor] = {}
        self._total = 0.0
        self._steps = 0

    def hypergradient(
        self, problem: Problem, training_pass: TrainingPass, meta_batch: Batch
    ) -> Hypergradient:
        """`G` of a training pass, by the average; and the meta loss at θ, if this step has a meta pass."""
        trainable = problem.trainable()
        if not problem.keeps_graph(training_pass):
            # No virtual gradient will free the graph before the next pass needs memory.
            training_pass = training_pass.without_graph()
        theta, meta_loss = problem.collective.movable(trainable, problem.copies[0]), None
        if self._is_due(theta):
            with training_pass.repeatable.buffers_after.preserved():
                parameters = list(theta.parameters.values())
                meta_loss, gradient = meta_gradient(problem, parameters, meta_batch)
            self._add(dict(zip(theta.parameters, gradient, strict=True)))
        self._steps += 1
        u, logits = difference_quotient(problem, training_pass, theta, list(self._sum.values()))
        factor = -training_pass.count * self._total
        values = u.mul_(training_pass.class_gradient).div_(factor)
        return Hypergradient(values, meta_loss, logits)

    def _is_due(self, theta: MovableParameters) -> bool:
        """Whether a gradient is to be computed now; also if other parameters are trained than before."""
        known = {name: total.shape for name, total in self._sum.items()}
        if known != {name: p.shape for name, p in theta.parameters.items()}:
            self._sum, self._total, self._steps = {}, 0.0, 0
        return self._steps % self._every == 0

    @torch.no_grad()
    def _add(self, gradient: Mapping[str, Tensor]) -> None:
        if not self._sum or not self._momentum:
            self._sum, self._total = dict(gradient), 1.0
            return
        sums, new = list(self._sum.values()), list(gradient.values())
        for k in positions(
            [type(total) for total in sums]
        ):  # those of sharded parameters are another type
            torch._foreach_mul_([sums[i] for i in k], self._momentum)
            torch._foreach_add_([sums[i] for i in k], [new[i] for i in k])
        self._total = self._momentum * self._total + 1.0

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to continue with the same gradient."""
        return {"sum": dict(self._sum), "total": self._total, "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._sum = {name: total.clone() for name, total in state["sum"].items()}
        self._total, self._steps = float(state["total"]), int(state["steps"])
