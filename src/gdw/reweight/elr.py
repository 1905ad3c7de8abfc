"""Early-learning regularisation: each example is held to what the model thought of it before."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.hypergradient.batch import Forward
from gdw.reweight.options import check_number
from gdw.reweight.revised import Revised, soft_cross_entropy

# Keeps the logarithm of one minus an agreement finite, and its slope.
_LEAST = 1e-4


class ELR(Revised):
    """Early-learning regularisation (Liu et al., NeurIPS 2020, arXiv 2007.00151, equations 6 and 9).

    `ℓ = CE + λ log(1 − ⟨p, t⟩)`; t is the example's memory, a moving average of its predictions:
    `t ← β t + (1 − β) p`, from zero, updated first. Probabilities are kept from 1e-4 to 1 − 1e-4.

    Processes tell each other what they saw, so all hold the same memory.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        strength: float = 3.0,
        beta: float = 0.7,
        forward: Forward | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward, label_smoothing: as for every reweighter.
            strength: λ; 0 is the cross-entropy.
            beta: of the memory, from 0 (none) to 1.

        Raises:
            ConfigError: an option out of its range.
        """
        super().__init__(model, optimizer, forward=forward, label_smoothing=label_smoothing)
        self._strength = check_number("strength", strength, 0)
        self._beta = check_number("beta", beta, 0, 1)

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        p = logits.softmax(1).clamp(_LEAST, 1 - _LEAST)
        target = self._remember(self._required(indices), p.detach())
        agreement = (p * target).sum(1)
        regular = (1 - agreement).clamp(min=_LEAST).log() * q.sum(1)
        return soft_cross_entropy(logits, q) + self._strength * regular

    def _remember(self, indices: Tensor, p: Tensor) -> Tensor:
        """Let the examples' predictions `p` `(N, C, ...)` into the memory; what it holds for them now."""
        every, seen = self._problem.collective.concatenate([indices.to(p.device), p])
        every, seen = every.cpu(), (seen / seen.sum(1, keepdim=True)).cpu()
        memory = self._memory(int(every.max()) + 1, seen)
        memory[every] = self._beta * memory[every] + (1 - self._beta) * seen
        return memory[indices].to(p)

    def _memory(self, size: int, like: Tensor) -> Tensor:
        """The memory `(at least size, C, ...)`; examples never seen before start from zero."""
        memory = self._found.get("memory")
        known = 0 if memory is None else len(memory)
        if memory is None or known < size:
            new = like.new_zeros(size - known, *like.shape[1:])
            memory = new if memory is None else torch.cat([memory, new])
            self._found["memory"] = memory
        return memory
