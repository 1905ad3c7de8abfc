"""Measures the step of a finite difference, for models in float64 that may compute less precisely inside."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from gdw.hypergradient.collective import Collective
from gdw.hypergradient.conversions import warn_of_coarse_step
from gdw.hypergradient.precision import STEPS

_TOLERANCE = 0.1


def consistent_step(quotient: Callable[[float], Tensor], collective: Collective) -> float:
    """The finest of `STEPS` at which the difference quotient is hardly another with twice the step.

    Below the precision of the model they differ, because each is mostly rounding.

    Args:
        quotient: the difference quotient of the logits `(N, C, ...)` with a relative step.
        collective: sums over processes, so that all take the same step.
    """
    steps = [step for _, step in STEPS[:-1]]
    for step in steps:
        once, twice = quotient(step), quotient(2 * step)
        gap, size = collective.sum([(twice - once).square().sum(), once.square().sum()])
        if not gap > _TOLERANCE**2 * size:
            return step
    warn_of_coarse_step(
        "the finite difference depends on its step, so the hypergradient is inaccurate: the model may round "
        "or draw numbers in a way that is not seen. Use hypergradient='forward' or 'reference'"
    )
    return steps[0]
