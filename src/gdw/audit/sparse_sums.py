"""Sums of predicted probabilities for many classes: only the largest of each example are kept."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gdw.train.processes import Processes

_ROWS_AT_ONCE = 65_536


class SparseSums:
    """The `slots` largest sums of each example. The methods are those of `gdw.audit.recorder.DenseSums`.

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
