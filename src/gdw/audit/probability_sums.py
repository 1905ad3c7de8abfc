"""Sums of predicted probabilities: of all classes, or of many classes only the largest of each example."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gdw.audit.evidence import TOP
from gdw.train.processes import Processes

SLOTS = 2 * TOP
"""If not all fit, the sums of this many classes are kept for each example."""

_ROWS_AT_ONCE = 65_536


def probability_sums(examples: int, classes: int, *, dense_bytes: int) -> DenseSums | SparseSums:
    """Sums of all C classes if they fit into `dense_bytes`, else of the largest of each example."""
    if examples * classes * 4 <= dense_bytes:
        return DenseSums(examples, classes)
    return SparseSums(examples, min(classes, SLOTS))


class DenseSums:
    """Sums of the predicted probabilities of all C classes, for N examples."""

    def __init__(self, examples: int, classes: int) -> None:
        self._sums = torch.zeros(examples, classes, dtype=torch.float32)

    def add(self, rows: Tensor, p: Tensor) -> None:
        """Add `p` `(B, C)` to the sums of `rows` `(B,)`, which are all different."""
        self._sums.index_add_(0, rows, p)

    def put(self, rows: Tensor, p: Tensor) -> None:
        """Replace the sums of `rows` by `p`."""
        self._sums[rows] = p

    def top(self, visits: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Classes with the largest sums, int32 `(N, count)`, and these sums divided by `visits` `(N,)`."""
        classes, values = [], []
        for part in self._sums.split(_ROWS_AT_ONCE):
            largest = part.topk(count, dim=1)
            classes.append(largest.indices.int())
            values.append(largest.values)
        return torch.cat(classes), torch.cat(values) / visits.unsqueeze(1)

    def state(self) -> dict[str, Tensor]:
        """The sums for a checkpoint, without a copy."""
        return {"sums": self._sums}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Copy the sums of a checkpoint into these."""
        self._sums.copy_(state["sums"])

    def merged(self, processes: Processes) -> DenseSums:
        """The sums of all processes; with one process, these sums themselves."""
        if processes.size == 1:
            return self
        merged = object.__new__(DenseSums)
        merged._sums = processes.sum(self._sums.clone()).cpu()
        return merged


class SparseSums:
    """The `slots` largest sums of each example. The methods are those of `DenseSums`.

    A class that enters the largest ones later lacks its earlier probabilities. Their sum is smaller than
    the smallest sum that was kept.

    Args:
        examples: N.
        slots: how many classes are kept for each example.
    """

    def __init__(self, examples: int, slots: int) -> None:
        # -1 marks a free slot.
        self._classes = torch.full((examples, slots), -1, dtype=torch.int32)
        self._sums = torch.zeros(examples, slots, dtype=torch.float32)

    def add(self, rows: Tensor, p: Tensor) -> None:
        known, sums = self._classes[rows].long(), self._sums[rows]
        sums = sums + torch.where(known >= 0, p.gather(1, known.clamp(min=0)), 0)
        largest = p.topk(known.shape[1], dim=1)
        self._keep_largest(rows, known, sums, largest.indices, largest.values)

    def put(self, rows: Tensor, p: Tensor) -> None:
        largest = p.topk(self._classes.shape[1], dim=1)
        self._classes[rows], self._sums[rows] = largest.indices.int(), largest.values

    def top(self, visits: Tensor, count: int) -> tuple[Tensor, Tensor]:
        largest = self._sums.topk(count, dim=1)
        classes = self._classes.gather(1, largest.indices)
        return classes, largest.values / visits.unsqueeze(1)

    def state(self) -> dict[str, Tensor]:
        return {"classes": self._classes, "sums": self._sums}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._classes.copy_(state["classes"])
        self._sums.copy_(state["sums"])

    def merged(self, processes: Processes) -> SparseSums:
        if processes.size == 1:
            return self
        first, *others = processes.gather((self._classes, self._sums))
        merged = SparseSums(*self._classes.shape)
        merged.load({"classes": first[0], "sums": first[1]})
        for classes, sums in others:
            for rows in torch.arange(len(sums)).split(_ROWS_AT_ONCE):
                merged._add_sums(rows, classes[rows].long(), sums[rows])
        return merged

    def _add_sums(self, rows: Tensor, classes: Tensor, sums: Tensor) -> None:
        """Add the sums of another process for `rows`."""
        known = self._classes[rows].long()
        same = (known.unsqueeze(2) == classes.unsqueeze(1)) & (known >= 0).unsqueeze(2)
        total = self._sums[rows] + (same * sums.unsqueeze(1)).sum(2)
        self._keep_largest(rows, known, total, classes, sums)

    def _keep_largest(
        self, rows: Tensor, known: Tensor, sums: Tensor, classes: Tensor, values: Tensor
    ) -> None:
        """Keep the largest of `sums` of the `known` classes and `values` of `classes`, each `(B, S)`.

        A class in `classes` that is among the `known` ones already does not count again.
        """
        repeated = (classes.unsqueeze(2) == known.unsqueeze(1)).any(2)
        candidates = torch.cat([known, torch.where(repeated, -1, classes)], dim=1)
        totals = torch.cat([sums, torch.where(repeated, 0, values)], dim=1)
        kept = totals.masked_fill(candidates < 0, -1).topk(known.shape[1], dim=1).indices
        self._classes[rows] = candidates.gather(1, kept).int()
        self._sums[rows] = totals.gather(1, kept)
