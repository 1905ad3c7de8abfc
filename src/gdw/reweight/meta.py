"""What the methods share that ask a meta batch through a hypergradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from gdw.errors import ConfigError
from gdw.functional.losses import PerExample
from gdw.hypergradient import HEAD, Engine, resolve_engine
from gdw.hypergradient.batch import Batch, Forward
from gdw.reweight.base import Reweighter


class MetaReweighter(Reweighter):
    """A reweighter that asks a meta batch through a hypergradient."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        hypergradient: str = "finite_difference",
        head: str | None = None,
        retain_graph: bool | None = None,
        meta_features_every: int = 1,
        forward: Forward | None = None,
        loss: str | PerExample = "cross_entropy",
        label_smoothing: float = 0.0,
    ) -> None:
        """
        Args:
            model, optimizer, forward, loss, label_smoothing: as for `Reweighter`.
            hypergradient: `"finite_difference"`, `"forward"`, `"reference"` or `"head"`.
            head: for `"head"`, the name of the module that it is restricted to; by default the last
                `nn.Linear`.
            retain_graph: for `"finite_difference"`; False frees the training graph before the meta batch
                is seen, which halves the memory: the model's gradient is then taken where the finite
                difference looked, in float32 a relative 1e-6 away from the parameters. None: False in
                float32 and float64, True in coarser precision.
            meta_features_every: for `"head"`; the features of one meta batch serve k steps, the head
                itself is always as it is now.

        Raises:
            ConfigError: options that do not go together.
        """
        self._engine: Engine = resolve_engine(hypergradient, head=head)
        differs = hypergradient == "finite_difference"
        if retain_graph is False and not differs:
            raise ConfigError(
                "retain_graph=False goes with hypergradient='finite_difference', found "
                f"{hypergradient!r}: leave it out"
            )
        check_every(meta_features_every, "meta_features_every")
        if meta_features_every > 1 and hypergradient != HEAD:
            raise ConfigError(
                f"meta_features_every={meta_features_every} goes with hypergradient='head', found "
                f"{hypergradient!r}: leave it out, or use meta_every"
            )
        super().__init__(
            model,
            optimizer,
            forward=forward,
            loss=loss,
            label_smoothing=label_smoothing,
            head=head or hypergradient == HEAD,
            retain_graph=retain_graph if differs else True,
            features_every=meta_features_every,
        )

    def state_dict(self) -> dict[str, Any]:
        head = self._problem.head
        return {**super().state_dict(), "head": None if head is None else head.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if self._problem.head is not None and state["head"] is not None:
            self._problem.head.load_state_dict(state["head"])

    @staticmethod
    def _required(meta_batch: Batch | None) -> Batch:
        if meta_batch is None:
            raise ConfigError(
                "this method learns its weights from clean examples: call "
                "backward(batch, meta_batch), for instance in a loop over "
                "gdw.data.pair(train_loader, meta_loader)"
            )
        return meta_batch


def check_every(value: object, name: str) -> None:
    if not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}")
