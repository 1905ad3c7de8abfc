"""Networks from tokens `(B, L)`, filled up with -1, to features `(B, F)`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from gdw.backbones.pooling import Pooling


class TextNetwork(nn.Module):
    """A transformer, a pooling over its tokens, and what follows.

    Args:
        transformer: a model of transformers. It is called with `input_ids` and `attention_mask`, and returns
            an object with `last_hidden_state` `(B, L, D)`, or that tensor, or features `(B, F)`.
        pooling: from vectors of tokens and their mask to `(B, D)`; default: their mean.
        after: layers from `(B, D)` to `(B, F)`.
        pad: the token that the transformer itself uses to fill up; some find the positions of tokens by it.
    """

    def __init__(
        self,
        transformer: nn.Module,
        pooling: nn.Module | None = None,
        after: Iterable[nn.Module] = (),
        *,
        pad: int = 0,
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.pooling = pooling or Pooling("mean")
        self.after = nn.Sequential(*after)
        self.pad = pad

    def forward(self, tokens: Tensor) -> Tensor:
        mask = tokens >= 0
        output: Any = self.transformer(
            input_ids=tokens.masked_fill(~mask, self.pad), attention_mask=mask.long()
        )
        vectors = getattr(output, "last_hidden_state", output)
        if vectors.dim() == 3:
            vectors = self.pooling(vectors, mask)
        return self.after(vectors)  # type: ignore[no-any-return]


class StaticVectors(nn.Module):
    """The mean of a fixed vector for each token.

    Args:
        tokens: V, the number of tokens.
        width: F, the number of features.
    """

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.pooling = Pooling("mean")

    def forward(self, tokens: Tensor) -> Tensor:
        return self.pooling(self.embedding(tokens.clamp(min=0)), tokens >= 0)  # type: ignore[no-any-return]


class UnitLength(nn.Module):
    """Scales features `(B, F)` to length 1."""

    def forward(self, features: Tensor) -> Tensor:
        return normalize(features, dim=1)


class Dense(nn.Module):
    """The module Dense of sentence-transformers: a linear layer and an activation, `(B, D)` to `(B, F)`.

    Args:
        incoming, width, bias: as for `nn.Linear`.
        activation: the name of a class of `torch.nn`, such as "Tanh".
    """

    def __init__(self, incoming: int, width: int, bias: bool, activation: str) -> None:
        super().__init__()
        self.linear = nn.Linear(incoming, width, bias=bias)
        self.activation: nn.Module = getattr(torch.nn.modules.activation, activation, nn.Identity)()

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(self.linear(features))  # type: ignore[no-any-return]
