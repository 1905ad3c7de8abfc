"""Sums over processes: what makes K processes with batch b take the step of one with batch K·b."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


class Collective:
    """Sums tensors over the processes of a group; with a single process it does nothing.

    Args:
        group: the process group, by default the world. Whether `torch.distributed` is initialised is
            looked at on every call, so an object built before the launch works after it.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self._group = group

    @property
    def world_size(self) -> int:
        """The number of processes, 1 without `torch.distributed`."""
        if dist.is_available() and dist.is_initialized():
            return dist.get_world_size(self._group)
        return 1

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Each tensor summed over all processes; the arguments are left as they are.

        Tensors of one dtype travel as one flat message.
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
        """Each tensor `(n, ...)` with the rows of all processes, one process behind the other.

        Processes may have different numbers of rows; tensors of one process have the same.
        """
        size = self.world_size
        if size == 1:
            return list(tensors)
        rank, own = dist.get_rank(self._group), len(tensors[0])
        counts = torch.zeros(size, dtype=torch.int64, device=tensors[0].device)
        counts[rank] = own
        rows = self.sum([counts])[0].tolist()
        start = sum(rows[:rank])
        whole = [t.new_zeros(sum(rows), *t.shape[1:]) for t in tensors]
        for empty, tensor in zip(whole, tensors, strict=True):
            empty[start : start + own] = tensor
        return self.sum(whole)

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite each tensor with that of the first process of the group."""
        if self.world_size > 1:
            first = 0 if self._group is None else dist.get_global_rank(self._group, 0)
            for tensor in tensors:
                dist.broadcast(tensor, src=first, group=self._group)

    def sum_scalar(self, value: Tensor) -> Tensor:
        """A scalar tensor summed over all processes."""
        return self.sum([value])[0]
