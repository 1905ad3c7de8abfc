"""Sums over processes, so that K processes with batch b take the step of one process with batch K·b."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gdw.errors import ConfigError
from gdw.hypergradient.preserve import Copies, MovableParameters, Trained


class Collective:
    """Sums tensors over the processes of a group. With a single process it does nothing.

    Args:
        group: the process group; by default the world. Every call checks whether `torch.distributed` is
            initialised, so an object that was built before the launch works after it.
    """

    is_spread: ClassVar[bool] = False
    """Whether each process holds only a part of the parameters, so that a pass needs all processes."""

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self._group = group

    @property
    def world_size(self) -> int:
        """The number of processes, 1 without `torch.distributed`."""
        if dist.is_available() and dist.is_initialized():
            return dist.get_world_size(self._group)
        return 1

    @property
    def is_alone(self) -> bool:
        """Whether the gradients of this process are those of all, as autograd leaves them."""
        return self.world_size == 1

    def named(self, model: nn.Module) -> Iterable[tuple[str, nn.Parameter]]:
        """Name and parameter of all that an optimizer may hold; a tied one once."""
        return model.named_parameters()

    def reshard(self) -> None:
        """Leave in the model those of `named`, where the last pass left others in it."""

    def whole(self, parameter: Tensor) -> Tensor:
        """The whole of a parameter of `named`, without a graph."""
        return parameter.detach()

    def are_finite(self, model: nn.Module) -> bool:
        """Whether what this process holds of the parameters is finite."""
        return all(bool(p.isfinite().all()) for _, p in self.named(model))

    def movable(self, trained: Trained, copies: Copies) -> MovableParameters:
        """The parameters `trained`, to be moved for a while on all processes."""
        return MovableParameters(trained, copies)

    def used_gradients(
        self,
        root: Tensor,
        parameters: Sequence[nn.Parameter],
        cotangent: Tensor | None,
        *,
        retain_graph: bool = False,
    ) -> list[Tensor | None]:
        """The gradient of `root` at each parameter, before `sum`; None for those that were not used."""
        found = torch.autograd.grad(
            root, parameters, cotangent, retain_graph=retain_graph, allow_unused=True
        )
        return list(found)

    def differentiate(
        self,
        root: Tensor,
        parameters: Sequence[nn.Parameter],
        cotangent: Tensor | None,
        *,
        retain_graph: bool = False,
    ) -> list[Tensor]:
        """The same, dense, and with zeros for parameters that were not used."""
        found = self.used_gradients(root, parameters, cotangent, retain_graph=retain_graph)
        return [
            torch.zeros_like(p) if g is None else dense(g)
            for p, g in zip(parameters, found, strict=True)
        ]

    @property
    def rank(self) -> int:
        """The number of this process, 0 without `torch.distributed`."""
        return dist.get_rank(self._group) if self.world_size > 1 else 0

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return each tensor summed over all processes. The arguments do not change.

        Tensors of one dtype and device are sent as one message.
        """
        if self.world_size == 1:
            return list(tensors)
        summed: list[Tensor] = list(tensors)
        groups: dict[tuple[torch.dtype, torch.device], list[int]] = defaultdict(list)
        for i, tensor in enumerate(tensors):
            groups[tensor.dtype, tensor.device].append(i)
        for members in groups.values():
            flat = torch.cat([tensors[i].detach().reshape(-1) for i in members])
            dist.all_reduce(flat, group=self._group)
            parts = flat.split([tensors[i].numel() for i in members])
            for i, part in zip(members, parts, strict=True):
                summed[i] = part.view_as(tensors[i])
        return summed

    def concatenate(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return each tensor `(n, ...)` with the rows of all processes, in the order of their ranks.

        The number of rows may differ between processes, but not between the tensors of one process.
        """
        size = self.world_size
        if size == 1:
            return list(tensors)
        rank, local = self.rank, len(tensors[0])
        counts = torch.zeros(size, dtype=torch.int64, device=tensors[0].device)
        counts[rank] = local
        rows = self.sum([counts])[0].tolist()
        start = sum(rows[:rank])
        whole = [t.new_zeros(sum(rows), *t.shape[1:]) for t in tensors]
        for empty, tensor in zip(whole, tensors, strict=True):
            empty[start : start + local] = tensor
        return self.sum(whole)

    def mean_over(self, kept: Tensor, count: Tensor) -> Tensor:
        """Weights that turn a mean over all `count` examples into a mean over those `kept`.

        Args:
            kept: `(N, ...)` for the examples of this process: booleans, or shares from 0 to 1.
            count: the number of examples of the global batch, a scalar tensor.

        Returns:
            `(N, ...)` of the dtype of `count`; all zero if no example is kept on any process.
        """
        chosen = kept.to(count.dtype)
        total = self.sum_scalar(chosen.sum())
        return chosen * torch.where(total > 0, count / total, 0.0)

    def add_to_gradients(
        self, parameters: Sequence[nn.Parameter], local: Sequence[Tensor | None]
    ) -> None:
        """Add gradients, summed over all processes, to the `.grad` of the parameters.

        Args:
            parameters: the same on every process.
            local: the gradient of each parameter on this process; None if the process did not use it. A
                parameter that no process used gets no gradient, so that weight decay does not change it.
        """
        used = torch.tensor([float(g is not None) for g in local], device=parameters[0].device)
        filled = [
            torch.zeros_like(p) if g is None else dense(g)
            for p, g in zip(parameters, local, strict=True)
        ]
        used, *summed = self.sum([used, *filled])
        for p, total, g, count in zip(parameters, summed, local, used.tolist(), strict=True):
            if not count:
                continue
            added = _as_sparse_as(g, total)
            p.grad = added if p.grad is None else p.grad + added

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite each tensor with the one of the first process of the group."""
        if self.world_size > 1:
            first = 0 if self._group is None else dist.get_global_rank(self._group, 0)
            for tensor in tensors:
                dist.broadcast(tensor, src=first, group=self._group)

    def sum_scalar(self, value: Tensor) -> Tensor:
        """Return a scalar tensor summed over all processes."""
        return self.sum([value])[0]


def is_spread(model: nn.Module) -> bool:
    """Whether each process holds only a part of some parameters, as with FSDP."""
    kinds = {cls.__name__ for m in model.modules() for cls in type(m).__mro__}
    kinds |= {type(p).__name__ for p in model.parameters()}
    return not kinds.isdisjoint(("FSDPModule", "FullyShardedDataParallel", "DTensor"))


def require_whole(model: nn.Module) -> None:
    """Raise `ConfigError` if `is_spread`: whoever moves or copies the model needs all of it."""
    if is_spread(model):
        raise ConfigError(
            "the model is sharded, but gdw.Trainer and gdw.prepare train whole models: give them the model "
            "before fully_shard, see 'Sharded parameters' in docs/loops.md"
        )


def _as_sparse_as(gradient: Tensor | None, total: Tensor) -> Tensor:
    """`total`, sparse where `gradient` is: optimizers for sparse gradients accept no others."""
    if gradient is None or not gradient.is_sparse:
        return total
    return total.to_sparse(gradient.sparse_dim())


def dense(gradient: Tensor) -> Tensor:
    """The gradient as a dense tensor; that of an embedding may be sparse."""
    return gradient.to_dense() if gradient.is_sparse else gradient
