"""What a method finds in `prepare` and keeps: named tensors that a resumed run gets back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.errors import ConfigError
from gdw.functional.losses import PerExample
from gdw.hypergradient.batch import Forward
from gdw.reweight.plain import Plain


class Prepared(Plain):
    """Plain training, and a memory of what was found before the first step."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        forward: Forward | None = None,
        loss: str | PerExample = "cross_entropy",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            model, optimizer, forward=forward, loss=loss, label_smoothing=label_smoothing
        )
        self._found: dict[str, Tensor] = {}

    def _known(self, name: str, *, option: str | None = None) -> Tensor:
        """What `prepare` found under `name`; `ConfigError` when it was never called."""
        if name not in self._found:
            instead = "" if option is None else f", or give {option}=..."
            raise ConfigError(
                f"{type(self).__name__} looks at the whole training set before its first step: train with "
                f"gdw.Trainer, or call prepare(...) before backward{instead}"
            )
        return self._found[name]

    def _required(self, indices: Tensor | None) -> Tensor:
        if indices is None:
            raise ConfigError(
                f"{type(self).__name__} keeps something for each training example: say which are in the "
                "batch, backward(batch, indices=...)"
            )
        return indices

    def _is_clean(self, indices: Tensor | None, like: Tensor) -> Tensor:
        """Which examples of a batch are clean ones, booleans `(N, 1, ...)` that go with `like` `(N, ...)`.

        None of them where nothing tells.
        """
        if indices is None or "given" not in self._found:
            clean = torch.zeros(len(like), dtype=torch.bool)
        else:
            clean = indices >= self._found["given"]
        return clean.view(-1, *[1] * (like.dim() - 1)).to(like.device)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "found": dict(self._found)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._found = {name: tensor.clone() for name, tensor in state["found"].items()}
