"""The learning rate of every optimizer step, as a fraction of the configured one."""

from __future__ import annotations

import math
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def multiplier(
    step: int, *, total: int, warmup: int = 0, schedule: Literal["cosine", "constant"] = "cosine"
) -> float:
    """The factor of optimizer step `step` (from 0) out of `total`.

    Rises linearly over the first `warmup` steps (`(step + 1) / warmup`); then stays at 1
    ("constant") or falls as half a cosine that would reach 0 at step `total` ("cosine": Loshchilov
    and Hutter, ICLR 2017, without restarts).
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    # A step beyond the end can be asked for when the last step has been taken; there the cosine
    # stays at 0.
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def scheduler(
    optimizer: Optimizer, *, total: int, warmup: int, schedule: Literal["cosine", "constant"]
) -> LambdaLR:
    """`multiplier` for every parameter group, to be stepped after each step of `optimizer`."""

    def factor(step: int) -> float:
        return multiplier(step, total=total, warmup=warmup, schedule=schedule)

    return LambdaLR(optimizer, factor)
