"""Recognises an MLP by the graph that autograd recorded for it, whatever its code looks like.

A chain is logits `(N, C)` that come from the inputs through linear layers, BatchNorm and activations alone,
one after another. Anything else (a skip connection, dropout, a convolution, a parametrisation) is no chain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gdw.hypergradient.layers import (
    BatchNorm,
    Elementwise,
    Layer,
    Linear,
    Saved,
    WideLinear,
    is_wide,
)
from gdw.hypergradient.preserve import Buffers, Rate, rates_of
from gdw.hypergradient.training_pass import watched_pass

if TYPE_CHECKING:
    from gdw.hypergradient.problem import Problem

_aten = torch.ops.aten

Rates = Mapping[int, Rate]
"""The learning rate of each parameter, by its `id`."""


class NotAChainError(Exception):
    """The graph holds something else than the layers of an MLP."""


def read_chain(logits: Tensor, inputs: Any, rates: Rates) -> list[Layer] | None:
    """The layers from `inputs` to `logits` `(N, C)`, in order; None if these are no chain.

    Args:
        logits: with the graph of the training pass, which is not freed yet.
        inputs: of the model; flattened, they must be the input of the first layer itself.
        rates: of the parameters that are trained.
    """
    if not isinstance(inputs, Tensor) or logits.dim() != 2 or logits.device.type not in _DEVICES:
        return None
    reader, layers, node = _Reader(rates), [], logits.grad_fn
    try:
        while node is not None:
            layer, node = reader.layer(node)
            layers.append(layer)
        layers[-1].first = True
        _require_same(layers[-1].inputs, inputs, logits.dtype)
    except (NotAChainError, AttributeError, RuntimeError, IndexError):
        # RuntimeError: the model changed what the graph saved, and the real backward pass will say so.
        return None
    return layers[::-1]


# On a GPU nothing was measured yet. "meta" is that of tensors without data.
_DEVICES = ("cpu", "meta")

# Where a linear layer's input and transposed weight are among the inputs of its node, and its saved input.
_LINEAR = {"AddmmBackward0": (1, 2, "_saved_mat1"), "MmBackward0": (0, 1, "_saved_self")}

_NONE: tuple[Tensor | None, Rate] = (None, 0.0)


class _Reader:
    """Reads one graph, from the logits down."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._seen: set[int] = set()

    def layer(self, node: Any) -> tuple[Layer, Any]:
        """The layer of a node, and the node below it; None if there are only inputs."""
        name = node.name()
        if name in _LINEAR:
            return self._linear(node, *_LINEAR[name])
        if name == "NativeBatchNormBackward0":
            return self._batch_norm(node), _next(node, 0)
        if name in _ACTIVATIONS:
            return _ACTIVATIONS[name](node), _next(node, 0)
        raise NotAChainError(name)

    def _linear(self, node: Any, place: int, of_weight: int, saved: str) -> tuple[Layer, Any]:
        transposed = _next(node, of_weight)
        if transposed.name() != "TBackward0":
            raise NotAChainError(transposed.name())
        weight, rate_w = self._parameter(transposed, 0)
        bias, rate_b = self._bias(node) if place else _NONE
        a = getattr(node, saved)
        kind = WideLinear if is_wide(weight, len(a)) else Linear
        return kind(a, weight, bias, (rate_w, rate_b)), _next(node, place)

    def _bias(self, node: Any) -> tuple[Tensor, Rate]:
        bias, rate = self._parameter(node, 0)
        if bias.dim() != 1 or (node._saved_alpha, node._saved_beta) != (1, 1):
            raise NotAChainError("a sum that is no bias")
        return bias, rate

    def _batch_norm(self, node: Any) -> Layer:
        z, affine = node._saved_input, node._saved_weight is not None
        if z.dim() != 2:
            raise NotAChainError("BatchNorm of more than columns")
        scale, rate_s = self._parameter(node, 1) if affine else _NONE
        shift, rate_b = self._parameter(node, 2) if affine else _NONE
        saved = Saved(
            node._saved_running_mean,
            node._saved_running_var,
            node._saved_result1,
            node._saved_result2,
            node._saved_training,
            node._saved_eps,
        )
        return BatchNorm(z, scale, shift, (rate_s, rate_b), saved)

    def _parameter(self, node: Any, place: int) -> tuple[Tensor, Rate]:
        """The parameter that is the input `place` of a node, and its learning rate."""
        parameter: Tensor = _next(node, place).variable
        if parameter._backward_hooks:
            raise NotAChainError("a hook may change the gradient of a parameter")
        if id(parameter) in self._seen:
            raise NotAChainError("two layers share a parameter")
        self._seen.add(id(parameter))
        return parameter, self._rates.get(id(parameter), 0.0)


def _next(node: Any, place: int) -> Any:
    return node.next_functions[place][0]


def _activation(
    function: Callable[..., Tensor],
    derivative: Callable[..., Tensor],
    of_output: bool,
    **names: str,
) -> Callable[[Any], Layer]:
    """Makes the layer of an activation whose further arguments its node keeps under `names`."""
    saved = "_saved_result" if of_output else "_saved_self"

    def layer(node: Any) -> Layer:
        further = {name: getattr(node, at) for name, at in names.items()}
        kept = getattr(node, saved)
        of = partial(function, **further), partial(derivative, **further)
        made = Elementwise(*of, kept, of_output)
        made.form = (function, *further.values())
        return made

    return layer


def _of_relu(gradient: Tensor, result: Tensor) -> Tensor:
    made: Tensor = _aten.threshold_backward(gradient, result, 0)
    return made


def _of_leaky_relu(gradient: Tensor, x: Tensor, negative_slope: float) -> Tensor:
    made: Tensor = _aten.leaky_relu_backward(gradient, x, negative_slope, False)
    return made


def _of_elu(gradient: Tensor, x: Tensor, alpha: float, scale: float, input_scale: float) -> Tensor:
    made: Tensor = _aten.elu_backward(gradient, alpha, scale, input_scale, False, x)
    return made


_ACTIVATIONS: dict[str, Callable[[Any], Layer]] = {
    "ReluBackward0": _activation(torch.relu, _of_relu, True),
    "TanhBackward0": _activation(torch.tanh, _aten.tanh_backward, True),
    "SigmoidBackward0": _activation(torch.sigmoid, _aten.sigmoid_backward, True),
    "SiluBackward0": _activation(F.silu, _aten.silu_backward, False),
    "GeluBackward0": _activation(
        F.gelu, _aten.gelu_backward, False, approximate="_saved_approximate"
    ),
    "LeakyReluBackward0": _activation(
        F.leaky_relu, _of_leaky_relu, False, negative_slope="_saved_negative_slope"
    ),
    "EluBackward0": _activation(
        _aten.elu,
        _of_elu,
        False,
        alpha="_saved_alpha",
        scale="_saved_scale",
        input_scale="_saved_input_scale",
    ),
}


def _require_same(seen: Tensor, inputs: Tensor, dtype: torch.dtype) -> None:
    flat = inputs.flatten(1)
    same = flat.is_set_to(seen) if seen.device.type != "meta" else flat.shape == seen.shape
    if not same or seen.dtype != dtype:
        raise NotAChainError("the model changes its inputs first")


class Chains:
    """What is known about the chains of a model over the steps.

    Attributes:
        expected: whether the last training pass was a known chain, so that the next may be one.
    """

    def __init__(self) -> None:
        self.expected = self._refused = False
        self._form: Any = None

    def read(self, problem: Problem, logits: Tensor, inputs: Any) -> list[Layer] | None:
        """The chain of a training pass; None if it is none, or if the model was refused."""
        if self._refused or problem.collective.world_size > 1:
            return None
        layers = read_chain(logits, inputs, rates_of(problem.optimizer, problem.fixed))
        self.expected = layers is not None and self.is_known(layers)
        return layers

    def expected_pass(self, problem: Problem, inputs: Any) -> tuple[Tensor, list[Layer]] | None:
        """The logits and the chain of a training pass that no pass repeats.

        None if no chain is expected, or if the pass was none after all: then it is undone.
        """
        if not self.expected:
            return None
        state, buffers = torch.get_rng_state(), Buffers(problem.model, problem.copies[1])
        logits, _ = watched_pass(problem, inputs)
        layers = self.read(problem, logits, inputs)
        if layers is not None and self.expected:
            return logits, layers
        torch.set_rng_state(state)
        buffers.restore()
        self.expected = False
        return None

    def is_known(self, layers: list[Layer]) -> bool:
        """Whether a chain of this form was compared with the model."""
        return bool(self._form == _form(layers))

    def know(self, layers: list[Layer]) -> None:
        """The chain gives what the model gives."""
        self._form, self.expected = _form(layers), True

    def refuse(self) -> None:
        """The model is more than the chain: read no more."""
        self._refused, self.expected = True, False


def _form(layers: list[Layer]) -> list[tuple[Any, ...]]:
    return [layer.form for layer in layers]
