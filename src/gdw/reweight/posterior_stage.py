"""Posterior labels in training: the class-level weights of the preset `"robust"`, in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gdw.functional import implied_weights
from gdw.hypergradient import Collective, TrainingPass
from gdw.reweight.base import Weighting
from gdw.reweight.instance_weighted import mean_over
from gdw.reweight.offset import corrected_gradient


@dataclass(frozen=True)
class PosteriorStage:
    """Posterior labels of a training set, and how its classes are distributed.

    Attributes:
        labels: `q`, `(N, C)` float32.
        offset: `log(π / ρ)`, `(C,)` float32.
        kept: which examples are trained on, `(N,)` booleans.
        share: how many clean rows go with each given one in a batch.
    """

    labels: Tensor
    offset: Tensor
    kept: Tensor
    share: float

    def rows(self, given: int, meta: int) -> int:
        """How many of `meta` clean rows go with `given` training rows."""
        return min(meta, max(1, round(self.share * given)))

    def revise(
        self,
        run: TrainingPass,
        targets: Tensor,
        indices: Tensor,
        *,
        collective: Collective,
        label_smoothing: float = 0.0,
    ) -> TrainingPass:
        """`run` with `D1` towards q, the mean over examples that are kept.

        `indices` `(N,)`, of clean rows beyond the training set.
        """
        like, total = run.class_gradient, len(self.labels)
        given = indices < total
        hot = targets if targets.is_floating_point() else F.one_hot(targets, like.shape[1])
        hot, doubtful = hot.to(like), given.to(like.device)
        q = self.labels[indices.clamp(max=total - 1)].to(like)
        run.mean_loss = run.losses[doubtful if bool(given.any()) else ...].mean()
        # Those of an undecided model: what the labels are taken for, whatever training has come to.
        undecided = 1 / like.shape[1]
        own = torch.where(doubtful.unsqueeze(1), q, hot)
        run.shown = implied_weights(undecided - own, undecided - hot)
        kept = torch.where(given, self.kept[indices.clamp(max=total - 1)], True).to(like.device)
        run.shown = run.shown * kept.unsqueeze(1)
        run.losses, run.class_gradient = corrected_gradient(
            run.logits, own, doubtful, offset=self.offset, label_smoothing=label_smoothing
        )
        run.class_gradient = run.class_gradient * mean_over(kept, run.count, collective).unsqueeze(
            1
        )
        return run

    @staticmethod
    def weigh(run: TrainingPass) -> Weighting:
        """No weights on the revised gradient; shown are those that make it of the plain one."""
        return Weighting(torch.ones_like(run.class_gradient), shown=run.shown)

    def state_dict(self) -> dict[str, Tensor | float | None]:
        return dict(vars(self))

    @classmethod
    def from_state(cls, state: Mapping[str, Any] | None) -> PosteriorStage | None:
        """What `state_dict` gave; None for None."""
        return None if state is None else cls(**state)
