"""From data sets to the batches of a training: their order, loading, augmentation and device."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gdw.data.examples import CyclingBatches, EpochBatches, Examples, identity
from gdw.errors import ConfigError, DataError
from gdw.hypergradient.inputs import Batch
from gdw.seeding import generator
from gdw.train.config import TrainConfig
from gdw.train.processes import Processes
from gdw.train.resuming import checksums

Data: TypeAlias = "Dataset[Any] | tuple[Any, Any]"


def as_dataset(data: Data, name: str) -> Dataset[Any]:
    """`data` as a data set of whole batches: `Examples`, or a `gdw.train.user_dataset.UserDataset`.

    Args:
        data: a map-style data set of `(inputs, target)` or of mappings (see `gdw.train.dataset_items`), or a
            pair of arrays, tensors, data frames or series: `X` `(N, ...)` and `y` `(N,)` class indices or
            `(N, C)` class probabilities. Features keep their dtype here; `place` converts them.
        name: "train", "meta", "test" or "data", for error messages.

    Raises:
        DataError: the data set is empty, the lengths differ, or values are not numbers.
    """
    if isinstance(data, Examples):
        dataset: Dataset[Any] = data
    else:
        from gdw.train.given_data import as_known_dataset

        dataset = as_known_dataset(data, name)
    if not len(cast(Any, dataset)):
        raise DataError(f"{name}: expected at least one example, found none")
    return dataset


def require_cpu_by_default() -> None:
    """Raise `ConfigError` if tensors are not made on the CPU by default, as the `DataLoader` needs it."""
    if (default := torch.get_default_device()).type != "cpu":
        raise ConfigError(
            f"torch.set_default_device({str(default)!r}) is in force, which PyTorch's DataLoader cannot work "
            "with: call torch.set_default_device('cpu'); accelerator= chooses the device of a training"
        )


def targets_of(dataset: Any) -> Tensor:
    """The targets of what `as_dataset` returned, on the CPU."""
    targets: Tensor = dataset.targets
    return targets.cpu()


def join(train: Any, meta: Any) -> Any:
    """The examples of `train`, followed by those of `meta`, as one data set.

    Raises:
        DataError: their inputs have different shapes, or one is a pair `(X, y)` and the other is not.
    """
    if isinstance(train, Examples) != isinstance(meta, Examples):
        raise DataError(
            "train and meta are trained on together, but one is a pair (X, y) and the other a data set: give "
            "both as pairs, or both as data sets"
        )
    return train.joined(meta)


def consecutive(length: int, size: int) -> list[list[int]]:
    """The positions below `length` in batches of at most `size`, in order."""
    return [list(range(i, min(i + size, length))) for i in range(0, length, size)]


def batches(
    dataset: Dataset[Any], sampler: Iterable[list[int]], *, workers: int = 0, seed: int = 0
) -> Iterator[Batch]:
    """Load batches `(inputs, targets)` on the CPU.

    `Examples` whose inputs are decoded on demand are read in advance, by the `workers` or, without any, by a
    thread, so that the model does not wait.

    Args:
        dataset: what `as_dataset` returned, or takes.
        sampler: the indices of each batch.
        workers: the number of loader processes.
        seed: seeds the workers. PyTorch would draw their seeds from its global generator.
    """
    whole = as_dataset(dataset, "data")
    loader: DataLoader[Any] = DataLoader(
        whole,
        batch_sampler=cast(Any, sampler),
        collate_fn=identity,
        num_workers=workers,
        worker_init_fn=_leave_signals_to_parent,
        generator=torch.Generator().manual_seed(seed),
    )
    # Other data sets may draw random numbers; with a thread their order would depend on its timing.
    if workers or not getattr(cast(Any, whole).inputs, "on_demand", False):
        return iter(loader)
    from gdw.train.read_ahead import read_ahead

    return read_ahead(iter(loader))


def place(batch: Batch, *, device: torch.device, dtype: torch.dtype) -> Batch:
    """Move `batch` to `device`. Floating-point tensors get the model's `dtype`; images stay uint8."""

    def move(value: Any) -> Any:
        if isinstance(value, Tensor):
            kind = dtype if value.is_floating_point() else value.dtype
            return value.to(device, kind, non_blocking=True)
        if isinstance(value, Mapping):
            return {key: move(item) for key, item in value.items()}
        if isinstance(value, (tuple, list)):
            return tuple(move(item) for item in value)
        return value

    inputs, targets = batch
    return move(inputs), move(targets if targets.is_floating_point() else targets.long())


def _leave_signals_to_parent(_worker: int) -> None:
    """Ctrl-C reaches every process of a terminal, but the workers must live until the step ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@dataclass(frozen=True)
class DataSets:
    """The data sets of a training; `meta` is None for methods that use no clean examples."""

    train: Any
    meta: Any | None
    test: Any | None

    def sizes(self) -> dict[str, int]:
        """The numbers of examples, which the batch order depends on."""
        return {"train": len(self.train), "meta": 0 if self.meta is None else len(self.meta)}

    @cached_property
    def state(self) -> dict[str, dict[str, Any]]:
        """What a resumed training must find again: the sizes and the `checksums`."""
        parts = {"train": self.train, "meta": self.meta}
        return {"sizes": self.sizes(), "checksums": checksums(parts)}


class BatchStreams:
    """The training batches of each epoch and the endless meta batches of one process, on its device.

    The order is a function of the seed and the position. With `joins_clean` the training batches are
    drawn from the training set followed by the clean examples.

    Raises:
        ConfigError: a batch has fewer examples than there are processes.
    """

    def __init__(
        self,
        sets: DataSets,
        config: TrainConfig,
        processes: Processes,
        *,
        device: torch.device,
        dtype: torch.dtype,
        joins_clean: bool = False,
    ) -> None:
        self.sets = sets
        trained = join(sets.train, sets.meta) if joins_clean else sets.train
        self._datasets: dict[str, Any] = {"train": trained, "meta": sets.meta}
        self._config = config
        self._rank, self._world_size = processes.rank, processes.size
        self._device, self._dtype = device, dtype
        self.batches_per_epoch = len(self._epoch(0, start=0))
        if sets.meta is not None:
            self._cycle(config.meta_batch_size, start=0)

    def train(
        self, epoch: int, *, start: int, part: Literal["given", "clean"] = "given"
    ) -> Iterator[tuple[list[int], Batch]]:
        """The batches of `epoch` from number `start` on, each with the indices of its examples.

        The indices of clean examples continue those of the training set. With `part="clean"` the epoch
        has as many batches as usual, all of clean examples.
        """
        first = epoch * self.batches_per_epoch + start
        if part == "clean":
            offset = self.sets.sizes()["train"]
            cycle = self._cycle(self._config.batch_size, start=first)
            order: Any = list(islice(cycle, self.batches_per_epoch - start))
            made = self._made("meta", order, "train", first, ("clean", first))
        else:
            offset, order = 0, self._epoch(epoch, start=start)
            made = self._made("train", order, "train", first, ("train", epoch, start))
        for indices, batch in made:
            yield [offset + i for i in indices], batch

    def meta(self, start: int, targets: Tensor | None = None) -> Iterator[Batch]:
        """The meta batches from number `start` on, without end.

        `targets` `(M, C)` replace the targets of the clean examples.
        """
        order = self._cycle(self._config.meta_batch_size, start=start)
        for _, batch in self._made("meta", order, "meta", start, ("meta", start), targets):
            yield batch

    @property
    def test(self) -> Any | None:
        """The test set, on the device if it is kept there."""
        return self.sets.test

    def not_finite(
        self, indices: list[int], batch: Batch, meta_batch: Batch | None, epoch: int, number: int
    ) -> str:
        """Which inputs of batch `number` of `epoch` and its meta batch are not finite; "" without any."""
        from gdw.train.not_finite import cause_in_inputs

        meta = ("meta", self.sets.meta)
        cause = cause_in_inputs(batch, indices, [("train", self.sets.train), meta])
        if cause or meta_batch is None:
            return cause
        start = epoch * self.batches_per_epoch + number
        order = next(iter(self._cycle(self._config.meta_batch_size, start=start)))
        return cause_in_inputs(meta_batch, order, [meta])

    def _epoch(self, epoch: int, *, start: int) -> EpochBatches:
        return EpochBatches(
            len(self._datasets["train"]),
            self._config.batch_size,
            seed=self._config.seed,
            epoch=epoch,
            start=start,
            rank=self._rank,
            world_size=self._world_size,
        )

    def _cycle(self, size: int, *, start: int) -> CyclingBatches:
        return CyclingBatches(
            self.sets.sizes()["meta"],
            size,
            seed=self._config.seed,
            start=start,
            rank=self._rank,
            world_size=self._world_size,
        )

    def _made(
        self,
        name: Literal["train", "meta"],
        order: Iterable[list[int]],
        stream: str,
        first: int,
        position: tuple[str | int, ...],
        targets: Tensor | None = None,
    ) -> Iterator[tuple[list[int], Batch]]:
        """The batches of `order` on the device, augmented, each with its indices.

        Args:
            name: which data set they are of.
            order: the indices of each batch.
            stream, first: for the augmentation: the stream, and the number of the first batch in it.
            position: for the seeds of loader processes.
            targets: replace those of the data set.
        """
        loaded = self._load(self._datasets[name], order, *position)
        augment = self._augment()
        numbered = enumerate(zip(order, loaded, strict=True), start=first)
        for number, (indices, (inputs, original)) in numbered:
            batch = (inputs, original if targets is None else targets[indices])
            yield indices, self._placed(augment(batch, stream, number))

    def _augment(self) -> Callable[[Batch, str, int], Batch]:
        """A function that changes the images of a batch, given its stream and its number there."""
        kind, seed, rank = self._config.augment, self._config.seed, self._rank
        if kind == "none":
            return lambda batch, stream, number: batch  # noqa: ARG005
        from gdw.data.augment import AUGMENTATIONS, draws_of

        def augment(batch: Batch, stream: str, number: int) -> Batch:
            images, targets = batch
            return AUGMENTATIONS[kind](images, draws_of(seed, stream, number, rank)), targets

        return augment

    def _placed(self, batch: Batch) -> Batch:
        return place(batch, device=self._device, dtype=self._dtype)

    def _load(self, dataset: Any, order: Any, *position: str | int) -> Iterator[Batch]:
        # A sum such as seed + epoch would give workers of other epochs, streams or trainings equal draws.
        draw = generator(self._config.seed, "loader", *position, self._rank).integers(2**63)
        return batches(dataset, order, workers=self._config.workers, seed=int(draw))
