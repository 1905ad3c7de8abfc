"""The method as one would write it on a blackboard: loops, whole Jacobians, no tricks. Slow.

Everything is float64, for small networks. `tests/` holds the fast paths against this file, which uses
nothing of `gdw`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call


def jacobian_of_logits(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """∂z/∂θ as one `(N, C, *shape)` tensor a parameter, in train mode, row by row by autograd."""
    twin = copy.deepcopy(model)  # its BatchNorm statistics may move, the model's must not
    named = {k: p for k, p in twin.named_parameters() if p.requires_grad}
    logits = twin(inputs)
    n, c = logits.shape
    rows = {k: torch.zeros(n, c, *p.shape, dtype=p.dtype) for k, p in named.items()}
    for i in range(n):
        for j in range(c):
            grads = torch.autograd.grad(
                logits[i, j], list(named.values()), retain_graph=True, materialize_grads=True
            )
            for k, g in zip(named, grads, strict=True):
                rows[k][i, j] = g
    return rows


def class_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """p − y, entry by entry."""
    d1 = torch.zeros_like(logits)
    for i in range(logits.shape[0]):
        exp = [torch.exp(z - logits[i].max()) for z in logits[i]]
        for j in range(logits.shape[1]):
            d1[i, j] = exp[j] / sum(exp) - (1.0 if j == targets[i] else 0.0)
    return d1


def weighted_gradient(
    jacobian: dict[str, Tensor], d1: Tensor, weights: Tensor
) -> dict[str, Tensor]:
    """(1/n) Σ_i Σ_j ω_ij D1_ij ∂z_ij/∂θ."""
    n, c = d1.shape
    total = {k: torch.zeros_like(rows[0, 0]) for k, rows in jacobian.items()}
    for k, rows in jacobian.items():
        for i in range(n):
            for j in range(c):
                total[k] += weights[i, j] * d1[i, j] * rows[i, j] / n
    return total


def meta_loss(model: nn.Module, parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of the meta batch with some parameters replaced, in train mode."""
    twin = copy.deepcopy(model)
    return F.cross_entropy(functional_call(twin, parameters, (x,)), y)


def virtual_parameters(
    model: nn.Module, jacobian: dict[str, Tensor], d1: Tensor, weights: Tensor, lr: float
) -> dict[str, Tensor]:
    """θ̂ = θ − η · weighted gradient."""
    gradient = weighted_gradient(jacobian, d1, weights)
    named = dict(model.named_parameters())
    return {k: named[k].detach() - lr * g for k, g in gradient.items()}


def hypergradient(
    model: nn.Module,
    batch: tuple[Tensor, Tensor],
    meta: tuple[Tensor, Tensor],
    weights: Tensor,
    lr: float,
) -> tuple[Tensor, Tensor]:
    """G_ij = −(η/n) D1_ij ⟨∂z_ij/∂θ, ∇L(θ̂)⟩, and L(θ̂)."""
    jacobian = jacobian_of_logits(model, batch[0])
    d1 = class_gradient(copy.deepcopy(model)(batch[0]).detach(), batch[1])
    point = virtual_parameters(model, jacobian, d1, weights, lr)
    point = {k: t.requires_grad_() for k, t in point.items()}
    loss = meta_loss(model, point, *meta)
    gradient = dict(zip(point, torch.autograd.grad(loss, list(point.values())), strict=True))
    n, c = d1.shape
    result = torch.zeros_like(d1)
    for i in range(n):
        for j in range(c):
            along = sum((jacobian[k][i, j] * gradient[k]).sum() for k in gradient)
            result[i, j] = -(lr / n) * d1[i, j] * along
    return result, loss.detach()


def zero_mean(weights: Tensor, d1: Tensor, targets: Tensor) -> Tensor:
    """ω_t ← Σ_{j≠t} ω_j p_j / (1 − min(p_t, 0.999))."""
    result = weights.clone()
    for i, t in enumerate(targets.tolist()):
        others = [j for j in range(d1.shape[1]) if j != t]
        p_t = min(1 + float(d1[i, t]), 0.999)
        result[i, t] = sum(weights[i, j] * d1[i, j] for j in others) / (1 - p_t)
    return result


def second_stage(weights: Tensor, g: Tensor, outer_lr: float, clip: float) -> Tensor:
    """ω − clip(η_ω G / Σ|G|), then the floor and the ceiling, entry by entry."""
    total = sum(abs(float(v)) for v in g.flatten())
    result = weights.clone()
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            step = max(-clip, min(clip, outer_lr * float(g[i, j]) / total))
            result[i, j] = max(1e-6, min(1e6, float(weights[i, j]) - step))
    return result


@dataclass
class TextbookGDW:
    """The six steps of one GDW update, on a model with an SGD optimizer and a weighting network."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    network: nn.Module
    network_optimizer: torch.optim.Optimizer
    outer_lr: float = 100.0
    clip: float = 0.2

    def step(self, batch: tuple[Tensor, Tensor], meta: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        lr = self.optimizer.param_groups[0]["lr"]
        logits = copy.deepcopy(self.model)(x).detach()
        losses = F.cross_entropy(logits, y, reduction="none")
        proposed = self.network(losses.unsqueeze(1))
        first = proposed.detach().expand_as(logits)
        g, _ = hypergradient(self.model, batch, meta, first, lr)

        self.network_optimizer.zero_grad()
        for i in range(len(y)):
            (proposed[i, 0] * g[i].sum()).backward(retain_graph=True)
        self.network_optimizer.step()

        d1 = class_gradient(logits, y)
        weights = zero_mean(second_stage(first, g, self.outer_lr, self.clip), d1, y)
        gradient = weighted_gradient(jacobian_of_logits(self.model, x), d1, weights)
        self.model(x)  # BatchNorm's statistics move once a step
        for k, p in self.model.named_parameters():
            p.grad = gradient[k]
        self.optimizer.step()
