"""Models that `fully_shard` (FSDP2) spreads over the processes: each process holds a part of every parameter.

Outside of its passes such a model has `DTensor` parameters, and so are their gradients. Autograd knows only
the whole parameters, which exist during a pass: their gradient is summed over the processes at its end, and
arrives in `.grad`. So gradients are taken by a backward pass, and parameters are moved part by part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel
from torch.distributed.tensor import DTensor

from gdw.errors import ConfigError
from gdw.hypergradient.collective import Collective
from gdw.hypergradient.conversions import warn_of_coarse_step
from gdw.hypergradient.precision import SIXTEEN_BITS, Autocast
from gdw.hypergradient.preserve import Copies, MovableParameters, Rate, Trained, norm_of


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process holds: its own memory, without a graph."""
    if not isinstance(tensor, DTensor):
        return tensor
    with torch.no_grad():
        part: Tensor = tensor.to_local()
    return part


class ShardedCollective(Collective):
    """Takes and sums gradients of a model that `fully_shard` has spread over all processes.

    Args:
        model: at least one of its modules is sharded.

    Raises:
        ConfigError: not every process has the same share of the work, so the sum of their gradients would not
            be that of the batch.
    """

    is_spread = True
    is_alone = False

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._modules = [m for m in model.modules() if isinstance(m, FSDPModule)]
        self.reshard()
        # Between passes the model may have whole ones in their place, which no optimizer knows.
        self._named: dict[str, nn.Parameter] = dict(model.named_parameters())
        batches = {id(p): _batches(group) for group in self._groups() for p in _parameters(group)}
        size = self.world_size
        for name, p in self._named.items():
            if isinstance(p, DTensor) and batches.get(id(p)) != size:
                raise ConfigError(
                    f"each of the {size} processes must have a batch of its own, but the parameter {name!r} "
                    f"is placed as {p.placements} on {p.device_mesh}: shard the model with fully_shard "
                    "alone, over all processes"
                )

    def _groups(self) -> Iterator[Any]:
        """The groups of parameters that are gathered together. PyTorch has no public name for them."""
        for module in self._modules:
            state: Any = module._get_fsdp_state()
            groups = getattr(state, "_fsdp_param_groups", None)
            # Before PyTorch 2.8 a module had one group at most.
            yield from filter(None, [state._fsdp_param_group] if groups is None else groups)

    def reshard(self) -> None:
        """Free the whole parameters, so that the next pass gathers them anew."""
        for module in self._modules:
            module.reshard()

    def recover(self) -> None:
        """After an error in a pass: make the next one possible."""
        for module in self._modules:
            if module._get_fsdp_state()._is_root and hasattr(module, "reset_iter_state"):
                module.reset_iter_state()

    def autocast(self) -> Autocast:
        """The precision in which the model computes: its policy can convert parameters to 16 bits."""
        autocast, dtypes = Autocast(), {group.mp_policy.param_dtype for group in self._groups()}
        autocast.dtypes |= dtypes.intersection(SIXTEEN_BITS)
        autocast.fixed = bool(autocast.dtypes)
        return autocast

    def named(self, model: nn.Module) -> Iterable[tuple[str, nn.Parameter]]:
        del model
        return self._named.items()

    def are_finite(self, model: nn.Module) -> bool:
        del model
        return all(bool(local(p).isfinite().all()) for p in self._named.values())

    def movable(self, trained: Trained, copies: Copies) -> MovableParameters:
        return ShardedParameters(trained, copies, self)

    def whole(self, parameter: Tensor) -> Tensor:
        parameter = parameter.detach()
        return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Gradients of sharded parameters are summed already."""
        summed = iter(super().sum([t for t in tensors if not isinstance(t, DTensor)]))
        return [t if isinstance(t, DTensor) else next(summed) for t in tensors]

    def used_gradients(
        self,
        root: Tensor,
        parameters: Sequence[nn.Parameter],
        cotangent: Tensor | None,
        *,
        retain_graph: bool = False,
    ) -> list[Tensor | None]:
        divided = self._divided_by()
        every = list(self._named.values())
        held = [p.grad for p in every]
        try:
            for p in every:
                p.grad = None
            torch.autograd.backward(root, cotangent, retain_graph=retain_graph)
            found = [p.grad for p in parameters]
        except BaseException:
            self.recover()
            raise
        finally:
            for p, gradient in zip(every, held, strict=True):
                p.grad = gradient
        for p, gradient in zip(parameters, found, strict=True):
            if gradient is not None and divided.get(id(p), 1.0) != 1.0:
                local(gradient).mul_(divided[id(p)])
        return found

    def _divided_by(self) -> dict[int, float]:
        """The number by which PyTorch divides the sum of the gradients, by the `id` of the parameter."""
        factors: dict[int, float] = {}
        for group in self._groups():
            if not (group.reduce_grads and group.all_reduce_grads):
                raise ConfigError(
                    "gdw sums the gradients of each backward over the processes: leave out "
                    "set_requires_gradient_sync(False). To accumulate, call backward several times and "
                    "divide .grad by their number"
                )
            factor = getattr(group, "gradient_divide_factor", None)
            divisor = float(_batches(group) if factor is None else factor)
            factors |= {id(p): divisor for p in _parameters(group)}
        return factors


def _parameters(group: Any) -> Iterator[Any]:
    return (of_fsdp.sharded_param for of_fsdp in group.fsdp_params)


def _batches(group: Any) -> int:
    """Over how many processes the gradients of a group are summed."""
    info = group.mesh_info
    return int(getattr(info, "shard_mesh_size", 1) * getattr(info, "replicate_mesh_size", 1))


class ShardedParameters(MovableParameters):
    """Parameters of which each process moves its own part.

    Args:
        trained: name to parameter and learning rate.
        copies: memory for a copy of the parts.
        collective: of their model.
    """

    def __init__(self, trained: Trained, copies: Copies, collective: ShardedCollective) -> None:
        super().__init__(trained, copies)
        self._whole = list(self.parameters.values())
        self._tensors = [local(p) for p in self._whole]
        self._collective = collective

    @contextmanager
    def moved(self, directions: Sequence[Tensor], factor: Rate) -> Iterator[None]:
        parts = [local(d) for d in directions]
        try:
            with super().moved(parts, factor):
                parts.clear()
                self._collective.reshard()
                yield
        except BaseException:
            self._collective.recover()
            raise
        finally:
            self._collective.reshard()

    @torch.no_grad()
    def norms(self, directions: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        parts = [local(d) for d in directions]
        return self._norm(parts, self.rates), self._norm(self._tensors)

    def _norm(self, parts: Sequence[Tensor], rates: Sequence[Rate] = ()) -> Tensor:
        """The norm of tensors, and of those on the other processes if they are spread."""
        by_mesh: dict[Any, list[int]] = {}
        for i, p in enumerate(self._whole):
            place = (p.device_mesh, p.placements) if isinstance(p, DTensor) else None
            by_mesh.setdefault(place, []).append(i)
        squares = []
        for place, members in by_mesh.items():
            some = [rates[i] for i in members] if rates else ()
            square = norm_of([parts[i] for i in members], some).square()
            for axis, placement in enumerate(place[1] if place else ()):
                if placement.is_shard():
                    dist.all_reduce(square, group=place[0].get_group(axis))
            squares.append(square)
        total: Tensor = torch.stack(squares).sum().sqrt()
        return total


def sharded_parts(model: nn.Module) -> dict[str, Any]:
    """The parts of a `Problem` that differ for a model which is spread over processes.

    Raises:
        ConfigError: it is spread in a way that is not supported.
    """
    if any(isinstance(m, FullyShardedDataParallel) for m in model.modules()):
        raise ConfigError(
            "FullyShardedDataParallel hides the parameters of a model: shard it with "
            "torch.distributed.fsdp.fully_shard (FSDP2) instead"
        )
    collective = ShardedCollective(model)
    return {"collective": collective, "autocast": collective.autocast()}


def require_engine(name: str, autocast: Autocast) -> None:
    """Check that the engine `name` suits a sharded model; warn if it will be inaccurate.

    Raises:
        ConfigError: it needs whole parameters.
    """
    if name in ("forward", "reference"):
        raise ConfigError(
            f"hypergradient={name!r} needs whole parameters, but fully_shard has spread those of this model "
            "over the processes: use hypergradient='finite_difference' or 'head'"
        )
    if autocast.fixed and name != "head":
        warn_of_coarse_step(
            "MixedPrecisionPolicy(param_dtype=...) rounds the parameters to 16 bits, and a finite difference "
            "of such a model has an error of about 20 %: use torch.autocast in its place, or "
            "hypergradient='head'"
        )
