"""The network of a fit: made by name or from the user's module, checked, trained, and saved as bytes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.data.examples import Examples
from gdw.errors import ConfigError, ModelError
from gdw.estimator.wanted_backbone import UsedBackbone
from gdw.models import build_model
from gdw.reweight import Reweighter
from gdw.train import Callback, TrainConfig, Trainer
from gdw.train.evaluation import predict_probabilities
from gdw.train.feed import require_cpu_by_default

Factory = Callable[[tuple[int, ...], int], nn.Module]
"""From the shape of one example and the number of classes to a network."""


def build_network(
    model: str,
    module: nn.Module | Factory | None,
    *,
    encoder: Any,
    num_classes: int,
    seed: int,
    backbone: UsedBackbone | None = None,
) -> nn.Module:
    """A new network from inputs `(B, *encoder.input_shape)` to logits `(B, num_classes)`.

    With a `backbone` that is trained, it is this network with a classifier.

    Raises:
        ConfigError: `model` is not a known name, or `module` is not a module.
    """
    require_cpu_by_default()
    if backbone is not None and backbone.finetune != "none":
        return backbone.build(num_classes, seed=seed)
    if module is None:
        return build_model(
            model,
            input_shape=encoder.input_shape,
            num_classes=num_classes,
            mean_std=encoder.mean_std,
            kind=encoder.kind,
            seed=seed,
        )
    if isinstance(module, nn.Module):
        return copy.deepcopy(module)
    if not callable(module):
        raise ConfigError(
            f"module: expected an nn.Module or a function (input_shape, num_classes) -> nn.Module, "
            f"found {type(module).__name__}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        made = module(encoder.input_shape, num_classes)
    if not isinstance(made, nn.Module):
        raise ConfigError(
            f"module: the function returned {type(made).__name__}, expected an nn.Module"
        )
    return made


def check_network(network: nn.Module, examples: Examples, num_classes: int) -> None:
    """Raise `ModelError` unless `network` returns `num_classes` logits for the first example."""
    first = examples.select(torch.zeros(1, dtype=torch.int64))
    _, probabilities = next(predict_probabilities(network, first))
    if probabilities.shape != (1, num_classes):
        raise ModelError(
            f"module: expected logits of shape (B, {num_classes}), one for each class of y, found "
            f"{('B', *probabilities.shape[1:])}: give it {num_classes} outputs"
        )


class _WeightedTrainer(Trainer):
    """A trainer that multiplies the gradient of training example i by `sample_weight[i]`, `(N,)`."""

    def __init__(self, config: TrainConfig, sample_weight: Tensor | None) -> None:
        super().__init__(config)
        self._sample_weight = sample_weight

    def _reweighter(self, model: nn.Module, optimizer: Optimizer) -> Reweighter:
        reweighter = super()._reweighter(model, optimizer)
        if self._sample_weight is not None:
            reweighter.count_examples_as(self._sample_weight)
        return reweighter


def train_network(
    network: nn.Module,
    config: TrainConfig,
    train: Examples,
    meta: Examples | None,
    *,
    sample_weight: Tensor | None,
    callbacks: Sequence[Callback] = (),
) -> list[dict[str, Any]]:
    """Train `network` in place, leave it in evaluation mode, and return the history.

    Raises:
        KeyboardInterrupt: Ctrl-C stopped the training, so the estimator stays unfitted.
    """
    trainer = _WeightedTrainer(config, sample_weight)
    result = trainer.fit(network, train, meta, callbacks=callbacks)
    if result.signalled:
        raise KeyboardInterrupt
    network.eval()
    return result.history


def network_to_bytes(network: nn.Module) -> bytes:
    """The parameters and buffers of `network` as safetensors, a format that holds no code."""
    from safetensors.torch import save

    # Tied tensors are written twice: the format has no sharing, and no other order in memory.
    rows_first = {"memory_format": torch.contiguous_format}
    return save(
        {name: t.detach().cpu().clone(**rows_first) for name, t in network.state_dict().items()}
    )


def network_from_bytes(network: nn.Module, saved: bytes) -> nn.Module:
    """Load `saved` into `network`, which was built as the saved one, and set evaluation mode."""
    from safetensors.torch import load

    network.load_state_dict(load(saved))
    return network.eval()
