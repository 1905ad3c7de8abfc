"""An operation that waits for the GPU, made an error."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def waits_refused() -> Iterator[None]:
    """Inside, an operation that makes the host wait for the GPU is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says that the check is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
