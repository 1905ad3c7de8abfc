"""Which batch comes when: a function of the seed and the position alone, on every process its share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import ConcatDataset

from gdw.data.examples import CyclingBatches, EpochBatches, Examples
from gdw.data.examples import JoinedInputs as Joined
from gdw.errors import DataError
from gdw.seeding import generator
from gdw.train import feed
from gdw.train.config import TrainConfig
from gdw.train.evaluation import whereabouts
from gdw.train.processes import Processes


@dataclass(frozen=True)
class Sets:
    """The data sets of a run; `meta` is None for methods that look at no clean examples."""

    train: Any
    meta: Any | None
    test: Any | None

    def sizes(self) -> dict[str, int]:
        """What a resumed run must find again: the batch order depends on it."""
        return {"train": len(self.train), "meta": 0 if self.meta is None else len(self.meta)}


def joined(train: Any, meta: Any) -> Any:
    """The examples of `train`, then those of `meta`, as one data set.

    `DataError` for two that cannot be one: examples of different shapes, or a pair `(X, y)` with a data
    set of another kind.
    """
    if not isinstance(train, Examples) and not isinstance(meta, Examples):
        return ConcatDataset([train, meta])
    if not isinstance(train, Examples) or not isinstance(meta, Examples):
        raise DataError(
            f"train and meta are trained on together, but are a {type(train).__name__} and a "
            f"{type(meta).__name__}: give both as pairs (X, y), or both as data sets of one kind"
        )
    width = max((t.shape[1] for t in (train.targets, meta.targets) if t.dim() == 2), default=0)
    targets = [
        F.one_hot(t.long(), width).float() if width and t.dim() == 1 else t
        for t in (train.targets, meta.targets)
    ]
    return Examples(Joined(train.inputs, meta.inputs), torch.cat(targets))


class Streams:
    """The training batches of each epoch and the endless meta batches, ready for the model.

    With `joins_clean` the training batches are drawn from the training set and the clean examples
    behind it. `ConfigError` if there are fewer examples in a batch than processes to share it.
    """

    def __init__(
        self,
        sets: Sets,
        config: TrainConfig,
        processes: Processes,
        model: nn.Module,
        *,
        joins_clean: bool = False,
    ) -> None:
        self.sets = sets
        self._trained = joined(sets.train, sets.meta) if joins_clean else sets.train
        self._config = config
        self._rank, self._world_size = processes.rank, processes.size
        self._device, self._dtype = whereabouts(model)
        self.batches_per_epoch = len(self._epoch(0, start=0))
        if sets.meta is not None:
            self._cycle(start=0)

    def train(
        self, epoch: int, *, start: int, part: Literal["given", "clean"] = "given"
    ) -> Iterator[tuple[list[int], feed.Batch]]:
        """The batches of `epoch` from number `start` on, each with the indices of its examples.

        Clean examples that were joined to the training set count on from its end.

        With `part="clean"` as many batches of clean examples, whose indices count on from those of the
        training set.
        """
        first = epoch * self.batches_per_epoch + start
        if part == "clean":
            yield from self._clean(first, self.batches_per_epoch - start)
            return
        order = self._epoch(epoch, start=start)
        loaded = self._load(self._trained, order, "train", epoch, start)
        for number, (indices, batch) in enumerate(zip(order, loaded, strict=True), start=first):
            yield indices, self._prepare(batch, "train", number)

    def _clean(self, first: int, count: int) -> Iterator[tuple[list[int], feed.Batch]]:
        config, offset = self._config, self.sets.sizes()["train"]
        cycle = CyclingBatches(
            self.sets.sizes()["meta"],
            config.batch_size,
            seed=config.seed,
            start=first,
            rank=self._rank,
            world_size=self._world_size,
        )
        order = list(islice(cycle, count))
        loaded = self._load(self.sets.meta, order, "clean", first)
        for number, (indices, batch) in enumerate(zip(order, loaded, strict=True), start=first):
            yield [offset + i for i in indices], self._prepare(batch, "train", number)

    def meta(self, start: int, targets: Tensor | None = None) -> Iterator[feed.Batch] | None:
        """The meta batches from number `start` on, without end; None without a meta set.

        `targets` `(M, C)` stand in place of the meta set's own.
        """
        return None if self.sets.meta is None else self._meta(start, targets)

    def _meta(self, start: int, targets: Tensor | None) -> Iterator[feed.Batch]:
        order = self._cycle(start=start)
        loaded = self._load(self.sets.meta, order, "meta", start)
        for number, (indices, (inputs, own)) in enumerate(
            zip(order, loaded, strict=True), start=start
        ):
            batch = (inputs, own if targets is None else targets[indices])
            yield self._prepare(batch, "meta", number)

    def _epoch(self, epoch: int, *, start: int) -> EpochBatches:
        config = self._config
        return EpochBatches(
            len(self._trained),
            config.batch_size,
            seed=config.seed,
            epoch=epoch,
            start=start,
            rank=self._rank,
            world_size=self._world_size,
        )

    def _cycle(self, *, start: int) -> CyclingBatches:
        config = self._config
        return CyclingBatches(
            self.sets.sizes()["meta"],
            config.meta_batch_size,
            seed=config.seed,
            start=start,
            rank=self._rank,
            world_size=self._world_size,
        )

    def _load(
        self, dataset: Any, order: Iterable[list[int]], stream: str, *position: int
    ) -> Iterator[feed.Batch]:
        # Sums such as seed + epoch would give workers of other epochs, streams or runs the same draws.
        own = generator(self._config.seed, "loader", stream, *position, self._rank)
        seed = int(own.integers(2**63))
        return feed.batches(dataset, order, workers=self._config.workers, seed=seed)

    def _prepare(self, batch: feed.Batch, stream: str, number: int) -> feed.Batch:
        if self._config.augment != "none":
            batch = feed.augment(
                batch,
                self._config.augment,
                seed=self._config.seed,
                stream=stream,
                position=number,
                rank=self._rank,
            )
        return feed.place(batch, device=self._device, dtype=self._dtype)
