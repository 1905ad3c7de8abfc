"""Pairing of each training batch with a batch of clean examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

from gdw.errors import DataError
from gdw.files.representation import ShortRepr

_Train = TypeVar("_Train")
_Meta = TypeVar("_Meta")


class PairedBatches(ShortRepr, Generic[_Train, _Meta]):
    """The iterable that `pair` returns."""

    def __init__(self, train_loader: Iterable[_Train], meta_loader: Iterable[_Meta]) -> None:
        self._train = train_loader
        self._meta = meta_loader
        self._meta_iterator: Iterator[_Meta] | None = None
        self._restarts = 0

    def _shown(self) -> dict[str, Any]:
        return {"train_loader": type(self._train), "meta_loader": type(self._meta)}

    def __len__(self) -> int:
        """The number of training batches; `TypeError` if the training loader has no length."""
        return len(self._train)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[tuple[_Train, _Meta]]:
        batches = iter(self._train)
        while True:
            # No name is bound to a batch: a local of a generator would keep it alive while the next one
            # loads.
            try:
                yield next(batches), self._next_meta()
            except StopIteration:
                return

    def _next_meta(self) -> _Meta:
        if self._meta_iterator is not None:
            try:
                return next(self._meta_iterator)
            except StopIteration:
                self._restarts += 1
                _set_epoch(self._meta, self._restarts)
        self._meta_iterator = iter(self._meta)
        try:
            return next(self._meta_iterator)
        except StopIteration:
            raise DataError(self._no_batches()) from None

    def _no_batches(self) -> str:
        if self._restarts:
            return (
                "the meta loader ran out and gave nothing when started again: "
                "pass a DataLoader or a list, not a one-shot iterator"
            )
        return (
            "the meta loader has no batches: expected at least one clean example "
            "(with drop_last=True, at least one full batch)"
        )


# The name in gdw 0.1.
Pair = PairedBatches


def pair(
    train_loader: Iterable[_Train], meta_loader: Iterable[_Meta]
) -> PairedBatches[_Train, _Meta]:
    """Iterate over `(batch, meta_batch)`, one pair for each batch of `train_loader`.

    The meta loader starts again when it runs out, so a loader that shuffles gives a new order each time. A
    sampler with `set_epoch` is told the number of the round. Iterate over the result once per epoch: the meta
    loader then continues where the last epoch stopped, so that a meta set that is longer than an epoch is
    used completely.

    >>> list(pair([1, 2, 3], ["a", "b"]))
    [(1, 'a'), (2, 'b'), (3, 'a')]

    Args:
        train_loader: the training batches of one epoch.
        meta_loader: the batches of clean examples.

    Returns:
        An iterable whose length is that of `train_loader`.

    Raises:
        DataError: while iterating, if the meta loader is empty or cannot start again.
    """
    return PairedBatches(train_loader, meta_loader)


def _set_epoch(loader: Any, epoch: int) -> None:
    for sampler in (getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)):
        set_epoch = getattr(sampler, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)
