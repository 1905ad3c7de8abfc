"""Batches that do not lie on the GPU: copied there from pinned memory, while the one before is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from gdw.hypergradient.inputs import Batch
from gdw.train.feed import place

Named: TypeAlias = "tuple[list[int], Batch]"


def copied(
    batches: Iterator[Named], *, device: torch.device, dtype: torch.dtype, ahead: bool
) -> Iterator[Named]:
    """`batches` on the CUDA `device`, in the `dtype` of the model, see `gdw.train.feed.place`.

    They are copied on a stream of their own, and the host does not wait.

    Args:
        batches: on the CPU, each with its indices.
        device: where they are needed.
        dtype: of floating-point numbers.
        ahead: begin to read and copy each batch before the one before it is used.
    """
    stream = torch.cuda.Stream(device)
    started: deque[tuple[Named, torch.cuda.Event]] = deque()
    for indices, batch in batches:
        pinned = tree_map(_pinned, batch)
        with torch.cuda.stream(stream):
            moved = place(pinned, device=device, dtype=dtype)
            started.append(((indices, moved), stream.record_event()))
        if ahead and len(started) < 2:
            continue
        yield _ready(started.popleft(), device)
    while started:
        yield _ready(started.popleft(), device)


def _pinned(value: Any) -> Any:
    return value.pin_memory() if isinstance(value, Tensor) and not value.is_cuda else value


def _ready(copy: tuple[Named, torch.cuda.Event], device: torch.device) -> Named:
    """A batch that the present stream uses when its copy has ended."""
    named, event = copy
    present = torch.cuda.current_stream(device)
    present.wait_event(event)
    for value in tree_leaves(named[1]):
        if isinstance(value, Tensor):
            # Its memory must not be given to another tensor of the copying stream before.
            value.record_stream(present)
    return named
