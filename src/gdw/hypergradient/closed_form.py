"""The engine for MLPs: the hypergradient in closed form, exact and cheap.

An exact step of an MLP has a training pass, its virtual gradient, a meta pass with its gradient, and a
directional derivative of the training pass. All but the first are matrix products that need no autograd;
where a layer is wide beside the batch, they are of examples with examples (`WideLinear`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gdw.functional import weighted_class_gradient
from gdw.functional.losses import count_examples
from gdw.hypergradient.engines import Hypergradient, finite_difference
from gdw.hypergradient.inputs import Batch, as_pair, in_meta_batch
from gdw.hypergradient.layers import Layer
from gdw.hypergradient.preserve import without_inference_path
from gdw.hypergradient.problem import Problem
from gdw.hypergradient.training_pass import TrainingPass


def closed_form(
    problem: Problem, training_pass: TrainingPass, weights: Tensor | None, meta_batch: Batch
) -> Hypergradient:
    """Compute `G` by the layers of `training_pass.chain`. Arguments: see `Engine`.

    If the model treats the meta batch otherwise than these layers do, `finite_difference` computes it.
    """
    layers, chains = training_pass.chain, problem.chains
    assert layers is not None, "the training pass is a chain"
    assert chains is not None, "it was read"
    if not chains.is_known(layers):
        inputs, _ = as_pair(meta_batch, "the meta batch")
        if not _is_the_model(problem, training_pass, layers, inputs):
            chains.refuse()
            return finite_difference(problem, training_pass, weights, meta_batch)
        chains.know(layers)
    return _by_layers(layers, problem, training_pass, weights, meta_batch)


@torch.no_grad()
def _by_layers(
    layers: list[Layer],
    problem: Problem,
    training_pass: TrainingPass,
    weights: Tensor | None,
    meta_batch: Batch,
) -> Hypergradient:
    class_gradient, count = training_pass.class_gradient, training_pass.count
    dtype = training_pass.logits.dtype
    if weights is not None:
        delta = weighted_class_gradient(weights, class_gradient, count).to(dtype)
        for layer in reversed(layers):
            delta = layer.pull(delta)
    inputs, targets = meta_batch
    logits = _output(layers, inputs)
    with in_meta_batch():
        losses, delta = problem.loss.with_gradient(logits, targets)
    meta_count = count_examples(losses, targets)
    delta = delta.div_(meta_count).to(dtype)
    for layer in reversed(layers):
        delta = layer.pull_virtual(delta)
    tangent: Tensor | None = None
    for layer in layers:
        tangent = layer.push(tangent)
    assert tangent is not None
    values = tangent.to(class_gradient.dtype).mul_(class_gradient).div_(-count)
    return Hypergradient(values, losses.sum().div_(meta_count), training_pass.logits)


def _output(layers: list[Layer], inputs: Any) -> Tensor:
    """The logits of the meta inputs, with virtual parameters if `pull` was called."""
    x: Tensor = inputs.flatten(1)
    for layer in layers:
        x = layer.virtual(x)
    return x


@torch.no_grad()
def _is_the_model(
    problem: Problem, training_pass: TrainingPass, layers: list[Layer], inputs: Any
) -> bool:
    """Whether the layers give what the model gives for the meta inputs: its code may treat them otherwise."""
    before = training_pass.repeatable
    if not isinstance(inputs, Tensor):
        return False
    with (
        before.buffers_after.preserved(),
        before.random_state.replayed(),
        without_inference_path(),
    ):
        expected = problem.logits(inputs)
    if inputs.flatten(1).shape[1:] != layers[0].inputs.shape[1:] or inputs.dtype != expected.dtype:
        return False
    found = _output(layers, inputs)
    if found.shape != expected.shape or expected.device.type == "meta":
        return found.shape == expected.shape
    return torch.allclose(found, expected, rtol=1e-3, atol=1e-4)
