"""Models of transformers that predict a class for each token: every position counts as an example."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gdw.errors import DataError
from gdw.functional.losses import IGNORE_INDEX
from gdw.hypergradient.inputs import default_forward, tensors_in


class TokenForward:
    """From a model with logits `(N, T, V)` to logits `(N·T, V)`, without a copy of them.

    A row of logits is contiguous in memory then: the softmax of `(N, V, T)` takes several times longer.

    Args:
        shift: whether position t predicts the label of position t + 1, as in a causal language model. The
            last position predicts nothing and has the target `IGNORE_INDEX`.
    """

    def __init__(self, shift: bool) -> None:
        self.shift = shift

    def __call__(self, model: nn.Module, inputs: Any) -> Tensor:
        logits = default_forward(model, inputs)
        return logits.flatten(0, -2)

    def token_targets(self, labels: Tensor, inputs: Any) -> Tensor:
        """Targets `(N·T,)` from labels `(N, T)`, as transformers has them: those of an input are its tokens.

        Raises:
            DataError: the labels are not one class number for each token.
        """
        tokens = next(tensors_in(inputs)).shape[:2]
        if labels.is_floating_point() or labels.dim() != 2 or labels.shape != tokens:
            raise DataError(
                "this model predicts a class for each token: expected whole numbers of shape "
                f"{tuple(tokens)}, {IGNORE_INDEX} where there is no label, found {labels.dtype} of shape "
                f"{tuple(labels.shape)}: pass the labels as transformers takes them, not shifted"
            )
        if self.shift:
            end = labels.new_full((len(labels), 1), IGNORE_INDEX)
            labels = torch.cat([labels[:, 1:], end], 1)
        return labels.flatten()


def token_forward(model: nn.Module) -> TokenForward | None:
    """How to call a model of transformers that predicts tokens; None for all others."""
    model = getattr(model, "_orig_mod", model)  # of one that is compiled
    kinds = {cls.__name__ for cls in type(model).__mro__ if _is_of_transformers(cls)}
    if any(kind.endswith(("ForCausalLM", "LMHeadModel")) for kind in kinds):
        return TokenForward(shift=True)
    if any(kind.endswith(("ForMaskedLM", "ForTokenClassification")) for kind in kinds):
        return TokenForward(shift=False)
    return None


def _is_of_transformers(cls: type) -> bool:
    return cls.__module__.split(".")[0] in ("transformers", "peft")
