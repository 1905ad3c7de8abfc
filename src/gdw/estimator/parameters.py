"""The parameters of `GDWClassifier` as options of the trainer and of the network."""

from __future__ import annotations

from typing import Any

from gdw.backbones.names import require_available
from gdw.errors import ConfigError, nearest
from gdw.estimator.form_encoder import FormEncoder
from gdw.estimator.wanted_backbone import WantedBackbone
from gdw.reweight import METHODS
from gdw.runs.model_config import ModelConfig
from gdw.train import TrainConfig
from gdw.train.recommended import HEAD, Inputs, chosen_options, recommended

_DEVICES = ("auto", "cpu", "cuda", "gpu", "mps")

# Tried without a backbone on tables of 100 to 1,300 rows, 40 % wrong labels: a higher rate memorises them.
_USUAL = {"epochs": 30, "batch_size": 64, "optimizer": "adamw", "lr": 1e-3, "weight_decay": 1e-2}


def training_config(estimator: Any) -> TrainConfig:
    """The parameters as options of the trainer. Raises `ConfigError` if they cannot be used."""
    from sklearn.utils import check_random_state

    if estimator.device not in _DEVICES:
        raise ConfigError(
            f"device: expected one of {', '.join(_DEVICES)}, found {estimator.device!r}."
            f"{nearest(str(estimator.device), _DEVICES)}"
        )
    if estimator.module is not None and estimator.model != "auto":
        raise ConfigError(
            f"expected the network as model or as module, found both (model={estimator.model!r}): "
            "leave one out"
        )
    method, options = _method_and_options(estimator)
    options_of_training = {**_USUAL, **_given(estimator)}
    return TrainConfig(
        method=method,
        method_options=options,
        **options_of_training,
        meta_batch_size=options_of_training["batch_size"],
        label_smoothing=estimator.label_smoothing,
        accelerator=estimator.device,
        progress="auto" if estimator.progress else "none",
        seed=int(check_random_state(estimator.random_state).randint(2**31 - 1)),
    )


def for_data(
    estimator: Any, config: TrainConfig, encoder: FormEncoder, *, examples: int
) -> tuple[TrainConfig, str]:
    """The options of the trainer and the name of the network that suit the features of a backbone.

    Args:
        estimator: what it was told stays.
        config: of `training_config`.
        encoder: fitted to the data. Without a backbone nothing changes.
        examples: the number of training examples.
    """
    if encoder.backbone is None:
        return config, estimator.model
    finetune = estimator.finetune
    inputs: Inputs = "features" if finetune == "none" else "finetuned"
    width = encoder.encoder.input_shape[-1]
    best = recommended(inputs, examples=examples, width=width, finetune=finetune)
    given = _given(estimator)
    options = {"meta_batch_size": given["batch_size"]} if "batch_size" in given else {}
    options |= chosen_options({**given, **options}, best)
    name = estimator.model
    if name == "auto" and finetune == "none":
        name = HEAD
    return config.model_copy(update=options), name


def wanted_backbone(estimator: Any) -> WantedBackbone:
    """What the parameters say of a backbone. Raises `ConfigError` if they contradict each other."""
    given, options = estimator.backbone, {"finetune": estimator.finetune, "views": estimator.views}
    named = given is None or isinstance(given, str)
    if estimator.module is not None and (not named or given not in (None, "auto", "none")):
        raise ConfigError(
            "expected the network as module or as backbone, found both: leave one out"
        )
    name = (given or "none") if named else "auto"
    name = "none" if estimator.module is not None else name
    model = ModelConfig(name=estimator.model, backbone=name, **options)
    if model.uses_backbone:
        require_available(model.backbone)
    progress = "auto" if estimator.progress else "warnings"
    return WantedBackbone(model, None if named else given, progress)


def _given(estimator: Any) -> dict[str, Any]:
    """The options of training that are not None."""
    return {n: v for n in _USUAL if (v := getattr(estimator, n)) is not None}


def _method_and_options(estimator: Any) -> tuple[str, dict[str, Any]]:
    """The method, and its options from `method_options`, `preset` and `hypergradient`."""
    method, options = estimator.method, dict(estimator.method_options or {})
    for name in ("preset", "hypergradient"):
        value = getattr(estimator, name)
        if value is None:
            continue
        if name in options:
            raise ConfigError(
                f"{name}: expected it once, found {name}={value!r} and method_options with {name}: "
                "leave one out"
            )
        options[name] = value
    return _method_of_preset(method, estimator.preset), options


def _method_of_preset(method: str, preset: str | None) -> str:
    if preset is None or "preset" in METHODS.require(method).Options.model_fields:
        return method
    if (method, preset) == ("robust", "robust"):
        # gdw 0.1.0, whose default method was "gdw"; `TrainConfig` says what to write now.
        return "gdw"
    raise ConfigError(
        f"preset={preset!r} is for method='gdw', found method {method!r}: "
        "leave preset out, or use method='gdw'"
    )
