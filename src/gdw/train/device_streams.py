"""The batches of a training on an accelerator: from data that lie there, or copied ahead of their use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Literal

from torch import Tensor

from gdw.data.examples import Examples
from gdw.hypergradient.inputs import Batch
from gdw.train.copied_ahead import copied
from gdw.train.device_examples import DeviceBatches, DeviceExamples, on_device
from gdw.train.feed import BatchStreams


class DeviceStreams(BatchStreams):
    """The `BatchStreams` of a training whose data sets are kept on its device, if they fit there.

    The batches are the same as on the CPU, to the bit.
    """

    @cached_property
    def test(self) -> Any | None:
        test = self.sets.test
        return None if test is None else self._on_device(test, "test") or test

    def _on_device(self, dataset: Any, name: str) -> DeviceExamples | None:
        return on_device(dataset, device=self._device, dtype=self._dtype, name=name)

    @cached_property
    def _kept(self) -> dict[str, DeviceBatches]:
        """The data sets on the device, by name."""
        found, config = {}, self._config
        for name, dataset in self._datasets.items():
            examples = self._on_device(dataset, name)
            if examples is not None:
                found[name] = DeviceBatches(
                    examples, augment=config.augment, seed=config.seed, rank=self._rank
                )
        return found

    def _made(
        self,
        name: Literal["train", "meta"],
        order: Iterable[list[int]],
        stream: str,
        first: int,
        position: tuple[str | int, ...],
        targets: Tensor | None = None,
    ) -> Iterator[tuple[list[int], Batch]]:
        if name in self._kept:
            return self._kept[name].batches(order, stream, first, targets)
        made = super()._made(name, order, stream, first, position, targets)
        # A data set of the user's own may draw random numbers, and a checkpoint must hold those of its step.
        ahead = isinstance(self._datasets[name], Examples) or self._config.workers > 0
        return copied(made, device=self._device, dtype=self._dtype, ahead=ahead)

    def _placed(self, batch: Batch) -> Batch:
        # `copied` moves it.
        return batch
