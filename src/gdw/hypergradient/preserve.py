"""Preserve parameters and buffers in the passes that a user does not see.

One training step runs the model two or three times. Afterwards the model must be as one forward pass leaves
it: BatchNorm statistics moved once, and parameters unchanged bit for bit, also if the model raises.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.autograd.grad_mode import _unsafe_preserve_version_counter
from torch.optim import Optimizer

from gdw.errors import ConfigError

INNER = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
"""The attributes in which `torch.compile`, sharding, activation checkpoints and Fabric keep a module."""


class Copies:
    """Memory for copies of tensors. It is made once and used at every step; one operation copies them all."""

    def __init__(self) -> None:
        self._originals: list[Tensor] = []
        self._copies: list[Tensor] = []

    def of(self, originals: Sequence[Tensor]) -> list[Tensor]:
        """Copies of the tensors; those of the call before are overwritten."""
        if len(originals) != len(self._originals) or not all(
            a is b and (a.shape, a.dtype, a.device) == (c.shape, c.dtype, c.device)
            for a, b, c in zip(originals, self._originals, self._copies, strict=True)
        ):
            self._originals = list(originals)
            self._copies = [torch.empty_like(t, requires_grad=False) for t in originals]
        copy_all(self._copies, originals)
        return self._copies


def copy_all(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Copy tensors into others of the same shape and dtype, one operation for each dtype and device."""
    kinds = [(t.dtype, t.device) for t in targets]
    with torch.no_grad():
        for k in positions(kinds):
            torch._foreach_copy_([targets[i] for i in k], [sources[i] for i in k])


def positions(keys: Sequence[Any]) -> list[list[int]]:
    """For each different key, the positions where it stands."""
    places: dict[Any, list[int]] = {}
    for i, key in enumerate(keys):
        places.setdefault(key, []).append(i)
    return list(places.values())


@contextmanager
def _unseen(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Inside, autograd does not notice that the tensors change: a training graph may hold them.

    For changes that are undone before the graph is used.
    """
    with torch.no_grad(), _unsafe_preserve_version_counter(tuple(tensors)):
        yield


Rate: TypeAlias = "float | Tensor"
"""A learning rate: a number, or a scalar on the device where the number changes without Python."""

Trained: TypeAlias = "Mapping[str, tuple[nn.Parameter, Rate]]"
"""Name to parameter and learning rate."""


@dataclass
class Fixed:
    """What is fixed while a step is taken, and the memory that a captured one reads from and writes to.

    Attributes:
        rates: the learning rate of each parameter group, scalars on the device; None: plain numbers.
        gradients: takes the gradient of each parameter, in place of its `.grad`; None for unused ones.
        devices: those of the model in this step.
        repeats: whether passes follow that repeat the training pass.
    """

    rates: list[Tensor] | None = None
    gradients: list[tuple[nn.Parameter, Tensor | None]] | None = None
    devices: list[torch.device] | None = None
    repeats: bool = True


def trained(
    named: Iterable[tuple[str, nn.Parameter]], optimizer: Optimizer, fixed: Fixed
) -> dict[str, tuple[nn.Parameter, Rate]]:
    """Name, parameter and current learning rate of those of the parameters `named` that are trained.

    Raises:
        ConfigError: the optimizer has no learning rates.
    """
    of = rates_of(optimizer, fixed)
    return {name: (p, of[id(p)]) for name, p in named if p.requires_grad and id(p) in of}


def rates_of(optimizer: Optimizer, fixed: Fixed) -> dict[int, Rate]:
    """The current learning rate of each parameter of the optimizer, by its `id`."""
    groups = optimizer.param_groups
    rates: Sequence[Rate] = fixed.rates or [_rate(group) for group in groups]
    return {id(p): rate for rate, group in zip(rates, groups, strict=True) for p in group["params"]}


def _rate(group: Mapping[str, Any]) -> float:
    if "lr" not in group:
        raise ConfigError(
            "the virtual step needs a learning rate, but the optimizer has no 'lr' in its parameter "
            "groups: use an optimizer that has one"
        )
    return float(group["lr"])


class MovableParameters:
    """Parameters that can be moved for a while and come back bit for bit.

    Attributes:
        parameters: name to parameter; a tied parameter occurs once.
        rates: the learning rate of each parameter.
    """

    def __init__(self, trained: Trained, copies: Copies | None = None) -> None:
        """
        Args:
            trained: name to parameter and learning rate.
            copies: memory for a copy of all parameters, from the step before.
        """
        self.parameters = {name: p for name, (p, _) in trained.items()}
        self.rates = [rate for _, rate in trained.values()]
        self._tensors: list[Tensor] = list(self.parameters.values())
        self._copies = copies or Copies()
        self._original: list[Tensor] | None = None

    @contextmanager
    def moved(self, directions: Sequence[Tensor], factor: Rate) -> Iterator[None]:
        """Inside, the parameters hold `θ + factor · rate · direction`; afterwards θ again, bit for bit.

        The change is made in place in the storage, so it needs no support from the module (compiled,
        sharded, hooked, tied).

        Args:
            directions: one tensor per parameter, of its shape, dtype and device; not changed.
            factor: common to all parameters, a number or a scalar tensor.
        """
        if self._original is None:
            # Kept, since a step moves twice from the same point and a copy of all parameters takes time.
            self._original = self._copies.of(self._tensors)
        try:
            with _unseen(self._tensors):
                for k in positions([r if isinstance(r, float) else id(r) for r in self.rates]):
                    _add(
                        [self._tensors[i] for i in k],
                        [directions[i] for i in k],
                        factor * self.rates[k[0]],
                    )
            # autocast keeps low-precision copies of the parameters: they would hide the move.
            torch.clear_autocast_cache()
            yield
        finally:
            with _unseen(self._tensors):
                copy_all(self._tensors, self._original)
            torch.clear_autocast_cache()

    @torch.no_grad()
    def norms(self, directions: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """`‖rate · direction‖` and `‖θ‖` over all parameters: scalars on the device, best in float64."""
        return norm_of(directions, self.rates), norm_of(self._tensors)


def norm_of(tensors: Sequence[Tensor], rates: Sequence[Rate] = ()) -> Tensor:
    """The norm of all tensors together, each times its rate if there are rates: a scalar on the device."""
    return _total(_norms(tensors), rates)


def _add(tensors: list[Tensor], directions: list[Tensor], factor: Rate) -> None:
    """Add `factor · direction` to tensors in place.

    On a device the result does not depend on whether the factor is a number or a scalar there.
    """
    if isinstance(factor, float) and tensors[0].device.type == "cpu":
        torch._foreach_add_(tensors, directions, alpha=factor)
        return
    for k in positions([(t.dtype, t.device) for t in tensors]):
        some, moves = [tensors[i] for i in k], [directions[i] for i in k]
        dtype = torch.promote_types(some[0].dtype, torch.float32)
        scale: Any = factor if isinstance(factor, float) else factor.to(some[0].device, dtype)
        if some[0].device.type == "cpu" and some[0].dtype == dtype:
            # One rounding, as with a number for `alpha`.
            torch._foreach_addcmul_(some, moves, [scale] * len(some))
        else:
            wide = [t.to(dtype) for t in moves]
            torch._foreach_add_(some, torch._foreach_mul(wide, scale))


def _norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The norm of each tensor, on one device, in float32 or wider."""
    norms = torch._foreach_norm(list(tensors))
    kinds = {(norm.dtype, norm.device) for norm in norms}
    wide = functools.reduce(torch.promote_types, (dtype for dtype, _ in kinds), torch.float32)
    if kinds == {(wide, norms[0].device)}:
        return list(norms)
    return [norm.to(norms[0].device, wide) for norm in norms]


def _total(norms: Sequence[Tensor], rates: Sequence[Rate]) -> Tensor:
    if rates and all(isinstance(rate, float) for rate in rates):
        norms, rates = torch._foreach_mul(list(norms), cast(Any, list(rates))), ()
    each = torch.stack(list(norms))
    if rates:
        each = each * torch.stack(cast(Any, list(rates))).to(each)
    total: Tensor = torch.linalg.vector_norm(each)
    return total if total.device.type == "mps" else total.double()


class Buffers:
    """A copy of every buffer of a model: its content, and which tensor it is.

    Not only BatchNorm's: other layers (spectral norm, moving averages, codebooks) also write to buffers in
    their forward pass.
    """

    def __init__(self, model: nn.Module, copies: Copies | None = None) -> None:
        """
        Args:
            model: the model.
            copies: memory for the copies, from the step before.
        """
        self._places = [
            (module, name, buffer)
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        self._contents = (copies or Copies()).of([buffer for _, _, buffer in self._places])

    def restore(self) -> None:
        """Set the buffers back to the copy."""
        for module, name, buffer in self._places:
            module._buffers[name] = buffer
        buffers = [buffer for _, _, buffer in self._places]
        with _unseen(buffers):
            copy_all(buffers, self._contents)

    @contextmanager
    def preserved(self) -> Iterator[None]:
        """Inside, the buffers may change; on exit they are set back to the copy."""
        try:
            yield
        finally:
            self.restore()


def preserved_buffers(model: nn.Module) -> AbstractContextManager[None]:
    """A context that undoes on exit every change of the model's buffers."""
    return Buffers(model).preserved()


@contextmanager
def without_inference_path() -> Iterator[None]:
    """Inside, PyTorch's encoder layers compute as in training, also without gradients.

    In eval mode and without gradients they would use a fused path. It gives padded positions other values
    and has no forward-mode derivative, so a difference with the training pass would be wrong.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def with_own_names(model: nn.Module) -> Any:
    """`model`, or what names its tensors as the model does if it is compiled or in another module."""
    names = (*INNER, "module")
    if not any(part in names for name in model.state_dict() for part in name.split(".")):
        return model
    from gdw.hypergradient.own_names import OwnNames

    return OwnNames(model)
