"""What `Robust` trains towards: posterior labels, an offset for class balance, and counts of examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gdw.errors import ConfigError, DataError
from gdw.functional import cross_entropy_with_gradient, implied_weights
from gdw.hypergradient import TrainingPass
from gdw.reweight.preparation import CleanCheck

# Up to this many bytes the labels stay on the device, beside the model.
_LARGEST = 2**30


def corrected_gradient(
    logits: Tensor,
    q: Tensor,
    doubtful: Tensor,
    *,
    offset: Tensor,
    noise: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Loss `(N,)` and `D1` `(N, C)` of the targets q: corrected for doubtful examples, plain for others.

    Let π be the class frequencies of the doubtful examples and ρ those under which the model is to be
    right. With `offset = log(π / ρ)`, training on `softmax(z + offset)` makes z right under ρ: logit
    adjustment (Menon et al., ICLR 2021, arXiv 2007.07314, eq. 10). With `noise` T the loss is
    `−log Σ_k p_k (T q)_k`, forward correction (Patrini et al., CVPR 2017, arXiv 1609.03683), whose gradient
    is `p − q'` with the posterior `q' ∝ p ⊙ T q`.

    Args:
        logits: `(N, C)`; the result has no graph.
        q: class probabilities `(N, C)`; with `noise` those of the given label.
        doubtful: `(N,)` booleans.
        offset: `(C,)`.
        noise: `T`, `(C, C)`, the probability of given label k for class j at `[j, k]`.
        label_smoothing: as in `gdw.functional.cross_entropy`.
    """
    rows = doubtful.unsqueeze(1)
    moved = logits.detach().to(q.dtype) + offset.to(q) * rows.to(q.dtype)
    if noise is not None:
        q = torch.where(rows, log_posterior(moved, q, noise).softmax(1), q)
    return cross_entropy_with_gradient(moved, q, label_smoothing=label_smoothing)


def log_posterior(logits: Tensor, q: Tensor, noise: Tensor) -> Tensor:
    """`log(p_k (T q)_k)` up to a constant per row: the model and the given label together, `(N, C)`.

    Args:
        logits: of `p`, `(N, C)`, under the class frequencies of the examples.
        q: probabilities of the given label, `(N, C)`.
        noise: `T`, `(C, C)`, the probability of given label k for class j at `[j, k]`.
    """
    likelihood = (q @ noise.to(q).T).clamp(min=torch.finfo(q.dtype).tiny)
    return logits.log_softmax(1) + likelihood.log()


@dataclass(frozen=True)
class PosteriorTargets:
    """Posterior labels of a training set, and how its classes are distributed.

    Attributes:
        labels: `q`, `(N, C)` float32.
        offset: `log(π / ρ)`, `(C,)` float32.
        weight: how much each training example counts, `(N,)` float32 in [0, 1].
        clean: the targets of the clean examples, `(M, C)` float32.
        share: the number of clean examples per training example in a batch.
        noise: `T^τ`, entry by entry, `(C, C)` float32: how far given label k speaks for class j, at `[j, k]`.
        trust: β, from 0 to 1: how much the model in training decides its own targets.
        check: how well the models of the clean examples did; None in runs of earlier versions.
    """

    labels: Tensor
    offset: Tensor
    weight: Tensor
    clean: Tensor
    share: float
    noise: Tensor
    trust: float
    check: CleanCheck | None = None

    def on(self, device: torch.device) -> PosteriorTargets:
        """The same with its tensors on `device`; on the CPU, if they are too large to stay there."""
        if self.labels.numel() * self.labels.element_size() > _LARGEST:
            device = torch.device("cpu")
        tensors: dict[str, Any] = {
            k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)
        }
        return replace(self, **tensors)

    def clean_rows(self, given: int, meta: int) -> int:
        """How many of `meta` clean examples join `given` training examples in a batch."""
        return min(meta, max(1, round(self.share * given)))

    def apply(
        self,
        training_pass: TrainingPass,
        targets: Tensor,
        indices: Tensor,
        given: int,
        *,
        label_smoothing: float = 0.0,
    ) -> tuple[TrainingPass, Tensor, Tensor]:
        """Replace `D1` by the one towards `q^(1−β) ⊙ (p ⊙ T[·, given]^τ)^β`, normalised (p: the model now).

        Args:
            training_pass: the forward pass of the batch.
            targets: its given labels, classes `(N,)` or probabilities `(N, C)`.
            indices: `(N,)`, on the device of `labels`; those of clean examples lie after the training set.
            given: how many examples of the batch, the first ones, are training examples.
            label_smoothing: as in `gdw.functional.cross_entropy`.

        Returns:
            The pass with new losses and `D1`; how much each example counts, `(N,)`; and the class-level
            weights, `(N, C)`, that turn the plain gradient of an undecided model into the new one.

        Raises:
            DataError: the model has more than one output position per example.
        """
        like, total = training_pass.class_gradient, len(self.labels)
        if like.dim() != 2:
            raise DataError(
                "method 'robust' has one label distribution per example: expected logits of shape (N, C), "
                f"found {tuple(like.shape)}"
            )
        doubtful = indices < total
        hot = targets if targets.is_floating_point() else F.one_hot(targets, like.shape[1])
        hot = hot.to(like)
        known = indices.clamp(max=total - 1)
        q = self.labels[known].to(like)
        weight = torch.where(doubtful, self.weight[known], 1.0).to(like)
        doubtful = doubtful.to(like.device)
        target = torch.where(doubtful.unsqueeze(1), q, hot)
        # Weights for an undecided model: they depend on the labels, not on the progress of training.
        undecided = 1 / like.shape[1]
        implied = implied_weights(undecided - target, undecided - hot) * weight.unsqueeze(1)
        if self.trust > 0:
            pooled = self._with_model(training_pass.logits, q, hot)
            target = torch.where(doubtful.unsqueeze(1), pooled, hot)
        losses, gradient = corrected_gradient(
            training_pass.logits,
            target,
            doubtful,
            offset=self.offset,
            label_smoothing=label_smoothing,
        )
        revised = replace(
            training_pass,
            losses=losses,
            class_gradient=gradient,
            mean_loss=training_pass.losses[:given].mean(),
        )
        return revised, weight, implied

    def _with_model(self, logits: Tensor, q: Tensor, hot: Tensor) -> Tensor:
        """q and the posterior of the model in training, `p ⊙ T[·, given]`, as a log-linear pool `(N, C)`."""
        model = log_posterior(logits.detach().to(q) + self.offset.to(q), hot, self.noise)
        before = q.clamp(min=torch.finfo(q.dtype).tiny).log()
        return (self.trust * model + (1 - self.trust) * before).softmax(1)

    def state_dict(self) -> dict[str, Any]:
        return {**vars(self), "check": None if self.check is None else dict(vars(self.check))}

    @classmethod
    def from_state(cls, state: Mapping[str, Any] | None) -> PosteriorTargets | None:
        """Restore what `state_dict` returned; None for None.

        Raises:
            ConfigError: the state was made by another version of gdw.
        """
        if state is None:
            return None
        expected = {field.name for field in fields(cls)}
        check = state.get("check")
        state = {**state, "check": None if check is None else CleanCheck(**check)}
        if set(state) != expected:
            raise ConfigError(
                f"expected prepared labels with {', '.join(sorted(expected))}, found "
                f"{', '.join(sorted(state))}: another version of gdw prepared this run; start it again"
            )
        return cls(**state)
