"""Plain training: every weight is one."""

from __future__ import annotations

import torch

from gdw.hypergradient import TrainingPass
from gdw.hypergradient.batch import Batch
from gdw.reweight.base import Reweighter, Weighting


class Plain(Reweighter):
    """Ordinary training on the given labels, under the same contract as the others.

    Its gradient is that of the mean loss. A meta batch is accepted and not looked at.
    """

    needs_meta = needs_clean = False

    def _weigh(self, run: TrainingPass, meta_batch: Batch | None) -> Weighting:
        del meta_batch
        return Weighting(torch.ones_like(run.class_gradient))
