"""Models that convert tensors to 16 bits by hand, as in `F.linear(x.bfloat16(), weight.bfloat16())`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_CONVERSIONS = (Tensor.to, Tensor.type, Tensor.type_as, Tensor.bfloat16, Tensor.half)

COMPILED = (
    "the compiled model enters autocast in its own forward, where a finite difference is inaccurate: enter "
    "autocast around the call of the model instead, or use hypergradient='forward'"
)
CONVERTING = (
    "the model converts to bfloat16 by itself in a way that cannot be undone, and a finite difference of it "
    "has an error of about 10 %: use torch.autocast in place of the conversions, or "
    "hypergradient='reference' or 'forward'"
)


def unconverted(function: Any, args: Sequence[Any], result: Tensor) -> Tensor:
    """What `function` returns if it does not convert to 16 bits: `result`, or a copy of its argument.

    Args:
        function: a function of PyTorch that returned 16 bits.
        args: its arguments.
        result: what it returned.
    """
    if function not in _CONVERSIONS or args[0].dtype == result.dtype:
        return result
    wide = args[0].dtype if args[0].is_floating_point() else torch.float32
    # A copy, because the model may change in place what it takes for a new tensor.
    copy: Tensor = args[0].to(result.device, wide, copy=True)
    return copy


def warn_of_coarse_step(reason: str) -> None:
    """Say that the finite difference is inaccurate: `COMPILED` or `CONVERTING`."""
    warnings.warn(reason, stacklevel=2)


def succeeds(call: Callable[[], Any]) -> bool:
    """Whether `call` computes; an error other than of memory is one of dtypes that do not fit together."""
    try:
        call()
    except (RuntimeError, TypeError, AssertionError) as error:
        if "memory" in str(error):
            raise
        return False
    return True
