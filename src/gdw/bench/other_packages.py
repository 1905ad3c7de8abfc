"""Steps that do not use this package: plain research code, and three packages for bilevel problems.

Each takes a whole step on the same model and batches, written as its users write it. A package that is not
installed raises `UnavailableError`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from gdw.bench.workloads import LR, Workload, sgd
from gdw.functional import second_stage_weights, zero_mean
from gdw.reweight.learned_weights import WeightingNetwork

BETTY = "pip install --no-deps --ignore-requires-python betty-ml==0.2.1"


class UnavailableError(Exception):
    """A package cannot be used here; the message says why."""


def double_backward(workload: Workload) -> Callable[[], None]:
    """GDW as research code: each step builds the model again and differentiates through the virtual step."""
    model = workload.build()
    optimizer = sgd(model)
    network, network_optimizer = _weighting()
    (x, y), (u, v) = workload.batches()

    def logits_of(module: nn.Module, inputs: Tensor) -> Tensor:
        return workload.forward(module, inputs).float()

    def step() -> None:
        virtual = workload.build()
        virtual.load_state_dict(model.state_dict())
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


def higher_step(workload: Workload) -> Callable[[], None]:
    """Meta-Weight-Net with `higher`: each step makes a functional copy of model and optimizer."""
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


def torchopt_step(workload: Workload) -> Callable[[], None]:
    """Meta-Weight-Net with `torchopt`: a differentiable optimizer whose state is restored in each step."""
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


def betty_step(workload: Workload, hypergradient: str = "darts") -> Callable[[], None]:
    """Meta-Weight-Net with `betty-ml`: two problems and an engine, as in its reweighting example.

    Args:
        workload: model and batches.
        hypergradient: "darts", a first-order finite difference at the parameters after the step, or "sama",
            the same along a direction that suits the optimizer (Choe et al., NeurIPS 2023).
    """
    engines = _imported("betty.engine", how=BETTY)
    configs = _imported("betty.configs", how=BETTY)
    outer, inner = _betty_problems(workload, configs, hypergradient)
    logging.disable(logging.INFO)  # the package prints a banner
    try:
        engine = engines.Engine(
            problems=[outer, inner],
            config=configs.EngineConfig(strategy="cpu"),
            dependencies={"u2l": {outer: [inner]}, "l2u": {inner: [outer]}},
        )
    finally:
        logging.disable(logging.NOTSET)
    engine.train()

    def step() -> None:
        engine.global_step += 1
        engine.train_step()

    return step


def _betty_problems(workload: Workload, configs: Any, hypergradient: str) -> tuple[Any, Any]:
    """The outer problem, which trains the weighting network, and the inner one, which trains the model."""
    problems = _imported("betty.problems", how=BETTY)
    model = workload.build()
    network, network_optimizer = _weighting()
    batch, meta = workload.batches()

    class Outer(problems.ImplicitProblem):  # type: ignore[name-defined, misc]
        def training_step(self, batch: Any) -> Tensor:
            return F.cross_entropy(workload.forward(self.inner, batch[0]).float(), batch[1])

    class Inner(problems.ImplicitProblem):  # type: ignore[name-defined, misc]
        def training_step(self, batch: Any) -> Tensor:
            return _weighted_loss(workload.forward(self.forward, batch[0]), batch[1], self.outer)

    outer = Outer(
        name="outer",
        module=network,
        optimizer=network_optimizer,
        train_data_loader=[meta],
        config=configs.Config(retain_graph=True),
    )
    inner = Inner(
        name="inner",
        module=model,
        optimizer=sgd(model),
        train_data_loader=[batch],
        config=configs.Config(type=hypergradient),
    )
    return outer, inner


def _weighting() -> tuple[WeightingNetwork, torch.optim.Optimizer]:
    """The weighting network of Meta-Weight-Net and its optimizer, as published."""
    network = WeightingNetwork()
    return network, torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4)


def _weighted_loss(
    logits: Tensor, targets: Tensor, network: nn.Module, *, learns: bool = True
) -> Tensor:
    losses = F.cross_entropy(logits.float(), targets, reduction="none")
    weights = network(losses.detach().unsqueeze(1)).squeeze(1)
    loss: Tensor = ((weights if learns else weights.detach()) * losses).mean()
    return loss


def _imported(name: str, *, how: str = "pip install 'gdw[bench]'") -> Any:
    import importlib

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise UnavailableError(f"not installed: {how} ({error})") from error
