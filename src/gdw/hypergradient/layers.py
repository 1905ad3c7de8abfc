"""The layers of an MLP, differentiated by hand: what a step of GDW computes in each of them.

The four methods of a layer are called in order, on the way down and up: `pull` (the virtual gradient),
`virtual` (the meta batch with virtual parameters), `pull_virtual` (its gradient), and `push` (the directional
derivative of the training pass). N training and M meta examples; a layer has I inputs and O outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gdw.hypergradient.preserve import Rate

_aten = torch.ops.aten

Derivative = Callable[[Tensor, Tensor], Tensor]


class Layer(ABC):
    """A layer, with what the training pass computed in it.

    Attributes:
        form: what tells layers apart that compute differently.
        inputs: `(N, I)`.
        first: whether its input depends on no parameter, so that nothing is passed further down.
    """

    form: tuple[Any, ...] = ()
    inputs: Tensor
    first = False

    @abstractmethod
    def pull(self, delta: Tensor) -> Tensor:
        """The gradient at the input from that at the output, both of the training pass."""

    @abstractmethod
    def virtual(self, x: Tensor) -> Tensor:
        """The output `(M, O)` for `x` `(M, I)` after the virtual step, if `pull` was called."""

    @abstractmethod
    def pull_virtual(self, delta: Tensor) -> Tensor:
        """The gradient at `x` from that at the output of `virtual`."""

    @abstractmethod
    def push(self, tangent: Tensor | None) -> Tensor:
        """The derivative `(N, O)` of the training pass along η ⊙ the gradient of `pull_virtual`.

        `tangent` `(N, I)` is that of the input; None for the first layer.
        """


class Linear(Layer):
    """`z = a Wᵀ + b`, by its virtual weights: best where the layer is small beside the batch.

    Args:
        inputs: `a`, `(N, I)`.
        weight, bias: `(O, I)`, and `(O,)` or None.
        rates: the learning rates of both.
    """

    def __init__(
        self, inputs: Tensor, weight: Tensor, bias: Tensor | None, rates: tuple[Rate, Rate]
    ) -> None:
        self.inputs, self.weight, self.bias = inputs, weight, bias
        self.rate_w, self.rate_b = rates
        self.form = (type(self), *weight.shape, bias is None)
        self._moved = weight, bias

    def pull(self, delta: Tensor) -> Tensor:
        weight = self.weight - self.rate_w * (delta.T @ self.inputs)
        bias = None if self.bias is None else self.bias - self.rate_b * delta.sum(0)
        self._moved = weight, bias
        return delta if self.first else delta @ self.weight

    def virtual(self, x: Tensor) -> Tensor:
        self._x = x
        return F.linear(x, *self._moved)

    def pull_virtual(self, delta: Tensor) -> Tensor:
        step_w = self.rate_w * (delta.T @ self._x)
        step_b = None if self.bias is None else self.rate_b * delta.sum(0)
        self._step = step_w, step_b
        return delta if self.first else delta @ self._moved[0]

    def push(self, tangent: Tensor | None) -> Tensor:
        output = F.linear(self.inputs, *self._step)
        return output if tangent is None else output.addmm_(tangent, self.weight.T)


class WideLinear(Linear):
    """The same by the inner products of examples: no tensor of the size of the weight is made.

    The virtual step changes `x Wᵀ + b` by `−K δ` with `K = η_W x aᵀ + η_b` `(M, N)`, and the derivative of
    the training pass along the meta gradient is `Kᵀ δ_meta`.
    """

    _delta: Tensor | None = None

    def pull(self, delta: Tensor) -> Tensor:
        self._delta = delta
        return delta if self.first else delta @ self.weight

    def virtual(self, x: Tensor) -> Tensor:
        self._kernel = self.rate_w * (x @ self.inputs.T)
        if self.bias is not None:
            self._kernel += self.rate_b
        output = F.linear(x, self.weight, self.bias)
        return output if self._delta is None else output.addmm_(self._kernel, self._delta, alpha=-1)

    def pull_virtual(self, delta: Tensor) -> Tensor:
        self._meta = delta
        if self.first:
            return delta
        down = delta @ self.weight
        if self._delta is not None:
            down -= self.rate_w * (delta @ self._delta.T) @ self.inputs
        return down

    def push(self, tangent: Tensor | None) -> Tensor:
        output = self._kernel.T @ self._meta
        return output if tangent is None else output.addmm_(tangent, self.weight.T)


def is_wide(weight: Tensor, n: int) -> bool:
    """Whether products of n examples with n meta examples cost less than products with a weight `(O, I)`."""
    o, i = weight.shape
    return n * (2 * i + 3 * o) < 3 * i * o


class Saved(NamedTuple):
    """What BatchNorm's training pass kept: statistics `(F,)`, and whether those of the batch were used."""

    running_mean: Tensor | None
    running_variance: Tensor | None
    mean: Tensor
    inverse: Tensor
    by_batch: bool
    eps: float


class BatchNorm(Layer):
    """BatchNorm of `(N, F)`, by statistics of the batch or by running ones.

    Its Jacobian without scale and shift is symmetric, so that PyTorch's backward pass gives `push` too.

    Args:
        inputs: `(N, F)`.
        scale, shift: γ and β `(F,)`; None without them.
        rates: the learning rates of both.
        saved: what the training pass kept.
    """

    def __init__(
        self,
        inputs: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        rates: tuple[Rate, Rate],
        saved: Saved,
    ) -> None:
        self.inputs, self.scale, self.shift = inputs, scale, shift
        self.rates, self._saved = rates, saved
        self.form = (BatchNorm, inputs.shape[1], scale is None, saved.by_batch, saved.eps)
        self._moved = scale, shift

    def pull(self, delta: Tensor) -> Tensor:
        kept = self._saved.mean, self._saved.inverse
        down, of_scale, of_shift = self._back(delta, self.inputs, self.scale, kept, self._wanted())
        if self.scale is not None and self.shift is not None:
            rate_s, rate_b = self.rates
            self._moved = self.scale - rate_s * of_scale, self.shift - rate_b * of_shift
        return delta if self.first else down

    def virtual(self, x: Tensor) -> Tensor:
        saved, self._x = self._saved, x
        # Without running statistics none are moved.
        running = (None, None) if saved.by_batch else saved[:2]
        output, *kept = torch.native_batch_norm(
            x, *self._moved, *running, saved.by_batch, 0.0, saved.eps
        )
        self._kept = kept[0], kept[1]
        return output

    def pull_virtual(self, delta: Tensor) -> Tensor:
        down, *self._gradient = self._back(
            delta, self._x, self._moved[0], self._kept, self._wanted()
        )
        return delta if self.first else down

    def push(self, tangent: Tensor | None) -> Tensor:
        saved = self._saved
        if tangent is None:
            output = torch.zeros_like(self.inputs)
        else:
            kept = saved.mean, saved.inverse
            output = self._back(tangent, self.inputs, self.scale, kept, [True, False, False])[0]
        if self.scale is None:
            return output
        mean, inverse = saved.mean, saved.inverse
        if (
            saved.running_mean is not None
            and saved.running_variance is not None
            and not saved.by_batch
        ):
            mean, inverse = saved.running_mean, (saved.running_variance + saved.eps).rsqrt()
        slope = inverse * (self.rates[0] * self._gradient[0])
        return output.addcmul_(self.inputs, slope).add_(
            self.rates[1] * self._gradient[1] - mean * slope
        )

    def _back(
        self,
        delta: Tensor,
        z: Tensor,
        scale: Tensor | None,
        kept: tuple[Tensor, Tensor],
        wanted: list[bool],
    ) -> tuple[Any, ...]:
        """The gradients at the input `z`, γ and β, as far as they are wanted."""
        saved = self._saved
        gradients: tuple[Any, ...] = _aten.native_batch_norm_backward(
            delta, z, scale, *saved[:2], *kept, saved.by_batch, saved.eps, wanted
        )
        return gradients

    def _wanted(self) -> list[bool]:
        affine = self.scale is not None
        return [not self.first, affine, affine]


class Elementwise(Layer):
    """An activation: a function of each number.

    Args:
        function: the activation.
        derivative: `(gradient, kept) -> gradient ⊙ f'`.
        kept: what the derivative reads: the input or the output of the training pass.
        of_output: whether that is the output.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        derivative: Derivative,
        kept: Tensor,
        of_output: bool,
    ) -> None:
        self._function, self._derivative = function, derivative
        self._kept, self._of_output = kept, of_output
        self.form = (Elementwise, of_output)

    def pull(self, delta: Tensor) -> Tensor:
        return self._derivative(delta, self._kept)

    def virtual(self, x: Tensor) -> Tensor:
        output = self._function(x)
        self._meta = output if self._of_output else x
        return output

    def pull_virtual(self, delta: Tensor) -> Tensor:
        return self._derivative(delta, self._meta)

    def push(self, tangent: Tensor | None) -> Tensor:
        assert tangent is not None
        return self._derivative(tangent, self._kept)
