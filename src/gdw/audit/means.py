"""Mean predicted probabilities of many examples and classes: all of them, or the largest of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from gdw.train.processes import Processes

DENSE_BYTES = 512 * 2**20
"""Up to this many bytes all `(N, C)` means are kept."""

_ROWS_AT_ONCE = 65_536


class Means(Protocol):
    """Sums of probability vectors by example; `rows` `(B,)` int64 name each example once."""

    def add(self, rows: Tensor, p: Tensor) -> None:
        """Add `p` `(B, C)` to the sums of `rows`."""

    def put(self, rows: Tensor, p: Tensor) -> None:
        """Let `p` be the sums of `rows`."""

    def top(self, visits: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Classes `(N, count)` int32 and mean probabilities, largest first; `visits` `(N,)` divides."""

    def state(self) -> dict[str, Tensor]:
        """The sums, not copied."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over a state."""

    def merge(self, processes: Processes) -> Means:
        """Those of all processes together; itself where there is one process."""


def make_means(examples: int, classes: int, *, dense_bytes: int, width: int) -> Means:
    """Dense means where they fit into `dense_bytes`, else the `width` largest of each example."""
    if examples * classes * 4 <= dense_bytes:
        return DenseMeans(torch.zeros(examples, classes))
    slots = min(classes, width)
    return SparseMeans(
        torch.full((examples, slots), -1, dtype=torch.int32), torch.zeros(examples, slots)
    )


class DenseMeans:
    """`sums` `(N, C)` float32."""

    def __init__(self, sums: Tensor) -> None:
        self._sums = sums

    def add(self, rows: Tensor, p: Tensor) -> None:
        self._sums.index_add_(0, rows, p)

    def put(self, rows: Tensor, p: Tensor) -> None:
        self._sums[rows] = p

    def top(self, visits: Tensor, count: int) -> tuple[Tensor, Tensor]:
        classes, values = [], []
        for part in self._sums.split(_ROWS_AT_ONCE):
            largest = part.topk(count, dim=1)
            classes.append(largest.indices.int())
            values.append(largest.values)
        return torch.cat(classes), torch.cat(values) / visits.unsqueeze(1)

    def state(self) -> dict[str, Tensor]:
        return {"sums": self._sums}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._sums.copy_(state["sums"])

    def merge(self, processes: Processes) -> DenseMeans:
        if processes.size == 1:
            return self
        return DenseMeans(processes.sum(self._sums.clone()).cpu())


class SparseMeans:
    """The largest sums of each example: `classes` `(N, S)` int32, -1 where free, and `sums` `(N, S)`.

    A class that enters late lacks the little that it had before: less than the smallest of those kept.
    """

    def __init__(self, classes: Tensor, sums: Tensor) -> None:
        self._classes, self._sums = classes, sums

    def add(self, rows: Tensor, p: Tensor) -> None:
        known, sums = self._classes[rows].long(), self._sums[rows]
        sums = sums + torch.where(known >= 0, p.gather(1, known.clamp(min=0)), 0)
        new = p.topk(known.shape[1], dim=1)
        self._keep(rows, known, sums, new.indices, new.values)

    def put(self, rows: Tensor, p: Tensor) -> None:
        largest = p.topk(self._classes.shape[1], dim=1)
        self._classes[rows], self._sums[rows] = largest.indices.int(), largest.values

    def _keep(
        self, rows: Tensor, known: Tensor, sums: Tensor, classes: Tensor, values: Tensor
    ) -> None:
        """Of the `known` classes of `rows` and others, each `(B, S)`, those with the largest sums.

        Other classes that are known already count no second time.
        """
        again = (classes.unsqueeze(2) == known.unsqueeze(1)).any(2)
        both = torch.cat([known, torch.where(again, -1, classes)], dim=1)
        weights = torch.cat([sums, torch.where(again, 0, values)], dim=1)
        kept = weights.masked_fill(both < 0, -1).topk(known.shape[1], dim=1).indices
        self._classes[rows] = both.gather(1, kept).int()
        self._sums[rows] = weights.gather(1, kept)

    def top(self, visits: Tensor, count: int) -> tuple[Tensor, Tensor]:
        largest = self._sums.topk(count, dim=1)
        classes = self._classes.gather(1, largest.indices)
        return classes, largest.values / visits.unsqueeze(1)

    def state(self) -> dict[str, Tensor]:
        return {"classes": self._classes, "sums": self._sums}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._classes.copy_(state["classes"])
        self._sums.copy_(state["sums"])

    def merge(self, processes: Processes) -> SparseMeans:
        if processes.size == 1:
            return self
        first, *others = processes.gather((self._classes, self._sums))
        merged = SparseMeans(first[0].clone(), first[1].clone())
        for classes, sums in others:
            for rows in torch.arange(len(sums)).split(_ROWS_AT_ONCE):
                merged._join(rows, classes[rows].long(), sums[rows])
        return merged

    def _join(self, rows: Tensor, classes: Tensor, sums: Tensor) -> None:
        known, own = self._classes[rows].long(), self._sums[rows]
        same = (known.unsqueeze(2) == classes.unsqueeze(1)) & (known >= 0).unsqueeze(2)
        self._keep(rows, known, own + (same * sums.unsqueeze(1)).sum(2), classes, sums)
