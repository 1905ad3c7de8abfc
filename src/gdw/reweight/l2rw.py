"""L2RW: instance weights from the sign and size of the hypergradient at zero weights."""

from __future__ import annotations

from gdw.functional import broadcast_instance_weights, positive_part_weights
from gdw.hypergradient import TrainingPass
from gdw.hypergradient.batch import Batch
from gdw.reweight.base import Weighting
from gdw.reweight.meta import MetaReweighter


class L2RW(MetaReweighter):
    """Learning to Reweight (Ren et al., ICML 2018, arXiv 1803.09050, algorithm 1).

    The virtual step starts from zero weights, so it stays where it is and the meta gradient is that of
    the model itself. An example's weight is `max(0, −Σ_j G_ij)`, normalised to sum to one over the
    (global) batch. `StepResult.weights` holds n times that, since the gradient is a mean over n.
    """

    def _weigh(self, run: TrainingPass, meta_batch: Batch | None) -> Weighting:
        g, meta_loss = self._engine(self._problem, run, None, self._required(meta_batch))
        norm = self._problem.collective.sum_scalar((-g.sum(1)).clamp(min=0).sum())
        weights = positive_part_weights(g, norm=norm) * run.count
        return Weighting(
            broadcast_instance_weights(weights, g), hypergradient=g, meta_loss=meta_loss
        )
