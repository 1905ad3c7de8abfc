"""TF32: NVIDIA GPUs may round the operands of float32 products to ten bits, in convolutions by default.

A finite difference whose step is one millionth of the parameters needs all bits of float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_Setting = tuple[Any, Callable[[Any], None], Any]


def may_use_tf32(tensor: Tensor) -> bool:
    """Whether products of tensors like this one may use TF32 now."""
    if tensor.device.type != "cuda" or tensor.dtype != torch.float32:
        return False
    return any(value != exact for value, _, exact in _settings())


@contextmanager
def exact_float32() -> Iterator[None]:
    """Inside, no product uses TF32."""
    settings = _settings()
    try:
        for _, write, exact in settings:
            write(exact)
        yield
    finally:
        for value, write, _ in settings:
            write(value)


def _settings() -> list[_Setting]:
    """Of convolutions and of matrix products: the present value, how to set it, and the value without TF32.

    PyTorch 2.9 has new names beside the old ones. Where a program uses the new ones, the old ones raise.
    """
    backends: Any = torch.backends
    try:
        settings: list[_Setting] = [_attribute(backends.cudnn, "allow_tf32", False)]
    except RuntimeError:
        parts = backends.cudnn.conv, backends.cudnn.rnn
        settings = [_attribute(part, "fp32_precision", "ieee") for part in parts]
    try:
        present = torch.get_float32_matmul_precision()
        settings.append((present, torch.set_float32_matmul_precision, "highest"))
    except RuntimeError:
        settings.append(_attribute(backends.cuda.matmul, "fp32_precision", "ieee"))
    return settings


def _attribute(owner: Any, name: str, exact: Any) -> _Setting:
    return getattr(owner, name), lambda value: setattr(owner, name, value), exact
