"""GDW without the zero-mean constraint."""

from __future__ import annotations

from functools import partialmethod

from gdw.reweight.gdw import GDW


class UnconstrainedGDW(GDW):
    """GDW whose weighted gradients may sum to something else than zero: `GDW(zero_mean=False)`.

    The ablation of the paper's appendix, where training collapses and oscillates; not for use.
    """

    __init__ = partialmethod(GDW.__init__, zero_mean=False)
