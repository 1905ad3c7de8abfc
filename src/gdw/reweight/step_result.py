"""What one step of a method computed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gdw.files.representation import ShortRepr


@dataclass(frozen=True, repr=False)
class StepResult(ShortRepr):
    """What one `backward` computed. All tensors are detached.

    Attributes:
        loss: mean unweighted loss of the labelled training examples of this process, a scalar.
        meta_loss: mean loss of the global meta batch after the virtual step, a scalar; None without one.
        logits: `(N, C)` of the training batch (dense outputs: `(N, C, ...)`).
        hypergradient: `G = ∂L_meta/∂ω`, `(N, C)`; None in steps that compute none, and in steps of GDW with
            2²⁴ logits or more, where the weights take its memory.
        first_stage_weights: `(N, C)`; None for methods without a first stage.
        weights: `(N, C)`, the class-level weights of the gradient.
        label_logits: `(N, C)`, the logits under the class frequencies of the training set, to compare with
            given labels; None if they are `logits`.
    """

    loss: Tensor
    meta_loss: Tensor | None
    logits: Tensor
    hypergradient: Tensor | None
    first_stage_weights: Tensor | None
    weights: Tensor
    label_logits: Tensor | None = None
