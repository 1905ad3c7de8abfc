"""What people use otherwise: research code written straight down, and packages for bilevel problems.

Each is a full step on the same model and batches, as their users write it. Those that are not installed, or
fail, raise `UnavailableError` with the reason.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from gdw.bench.workloads import LR, Workload, sgd
from gdw.functional import second_stage_weights, zero_mean
from gdw.reweight import WeightingNetwork


class UnavailableError(Exception):
    """This peer cannot run here; the message says why."""


def double_backward(workload: Workload) -> Callable[[], None]:
    """GDW as research code has it: the model copied each step, a graph of the virtual step kept."""
    model = workload.build()
    optimizer = sgd(model)
    network, network_optimizer = _weighting()
    (x, y), (u, v) = workload.batches()

    def logits_of(module: nn.Module, inputs: Tensor) -> Tensor:
        return workload.forward(module, inputs).float()

    def step() -> None:
        virtual = copy.deepcopy(model)
        z = logits_of(virtual, x)
        losses = F.cross_entropy(z, y, reduction="none")
        d1 = z.detach().softmax(1) - F.one_hot(y, z.shape[1])
        weights = network(losses.detach().unsqueeze(1)).expand_as(z)
        weights.retain_grad()
        named = dict(virtual.named_parameters())
        gradient = torch.autograd.grad(
            z, list(named.values()), weights * d1 / len(y), create_graph=True
        )
        moved = {k: p - LR * g for (k, p), g in zip(named.items(), gradient, strict=True)}
        with torch.autocast("cpu", torch.bfloat16, enabled=workload.precision == "bf16"):
            meta = functional_call(virtual, moved, (u,))
        network_optimizer.zero_grad()
        F.cross_entropy(meta.float(), v).backward()
        network_optimizer.step()
        assert weights.grad is not None
        second = second_stage_weights(weights.detach(), weights.grad, outer_lr=100, clip=0.2)
        z = logits_of(model, x)
        optimizer.zero_grad()
        z.backward(zero_mean(second, d1) * d1 / len(y))
        optimizer.step()

    return step


def by_higher(workload: Workload) -> Callable[[], None]:
    """Meta-Weight-Net with `higher`: a functional copy of model and optimizer each step."""
    higher = _imported("higher")
    model = workload.build()
    optimizer = sgd(model)
    network, network_optimizer = _weighting()
    (x, y), (u, v) = workload.batches()

    def step() -> None:
        virtual_sgd = torch.optim.SGD(model.parameters(), lr=LR)
        with higher.innerloop_ctx(model, virtual_sgd) as (virtual, differentiable):
            differentiable.step(_weighted_loss(workload.forward(virtual, x), y, network))
            network_optimizer.zero_grad()
            F.cross_entropy(workload.forward(virtual, u).float(), v).backward()
        network_optimizer.step()
        optimizer.zero_grad()
        _weighted_loss(workload.forward(model, x), y, network, learns=False).backward()
        optimizer.step()

    return step


def by_torchopt(workload: Workload) -> Callable[[], None]:
    """Meta-Weight-Net with `torchopt`: a differentiable optimizer, its state put back each step."""
    torchopt = _imported("torchopt")
    model = workload.build()
    optimizer = sgd(model)
    network, network_optimizer = _weighting()
    (x, y), (u, v) = workload.batches()
    virtual_sgd = torchopt.MetaSGD(model, lr=LR)

    def step() -> None:
        before = torchopt.extract_state_dict(model, by="reference")
        state = torchopt.extract_state_dict(virtual_sgd, by="reference")
        virtual_sgd.step(_weighted_loss(workload.forward(model, x), y, network))
        network_optimizer.zero_grad()
        F.cross_entropy(workload.forward(model, u).float(), v).backward()
        network_optimizer.step()
        torchopt.recover_state_dict(model, before)
        torchopt.recover_state_dict(virtual_sgd, state)
        optimizer.zero_grad()
        _weighted_loss(workload.forward(model, x), y, network, learns=False).backward()
        optimizer.step()

    return step


def _weighting() -> tuple[WeightingNetwork, torch.optim.Optimizer]:
    """Meta-Weight-Net's network and its optimizer, as published."""
    network = WeightingNetwork()
    return network, torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4)


def _weighted_loss(
    logits: Tensor, targets: Tensor, network: nn.Module, *, learns: bool = True
) -> Tensor:
    losses = F.cross_entropy(logits.float(), targets, reduction="none")
    weights = network(losses.detach().unsqueeze(1)).squeeze(1)
    loss: Tensor = ((weights if learns else weights.detach()) * losses).mean()
    return loss


def _imported(name: str) -> Any:
    import importlib

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise UnavailableError(f"not installed: pip install 'gdw[bench]' ({error})") from error
