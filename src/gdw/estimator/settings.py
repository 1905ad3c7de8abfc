"""The estimator's parameters as options of the trainer."""

from __future__ import annotations

from typing import Any

from gdw.errors import ConfigError, nearest
from gdw.train import TrainConfig

# Tried on tables of 100 to 1,300 rows with 40 % wrong labels: a higher rate learns these by heart.
EPOCHS = 30
BATCH_SIZE = 64
LR = 1e-3
WEIGHT_DECAY = 1e-2

_DEVICES = ("auto", "cpu", "cuda", "gpu", "mps")


def training_config(estimator: Any, seed: int) -> TrainConfig:
    """Raises `ConfigError` for a parameter, or a combination of them, that cannot be used."""
    if estimator.device not in _DEVICES:
        raise ConfigError(
            f"device: expected one of {', '.join(_DEVICES)}, found {estimator.device!r}."
            f"{nearest(str(estimator.device), _DEVICES)}"
        )
    return TrainConfig(
        method=estimator.method,
        method_options=_method_options(estimator),
        epochs=estimator.epochs,
        batch_size=estimator.batch_size,
        meta_batch_size=estimator.batch_size,
        optimizer=estimator.optimizer,
        lr=estimator.lr,
        weight_decay=estimator.weight_decay,
        label_smoothing=estimator.label_smoothing,
        accelerator=estimator.device,
        progress="auto" if estimator.progress else "none",
        seed=seed,
    )


def _method_options(estimator: Any) -> dict[str, Any]:
    """Those of `method_options` win over the parameters of the same name."""
    options = dict(estimator.method_options or {})
    if estimator.hypergradient is not None:
        options.setdefault("hypergradient", estimator.hypergradient)
    if estimator.preset is not None:
        options.setdefault("preset", estimator.preset)
    return options
