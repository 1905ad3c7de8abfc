"""The network of a run: whether it can be built, its name, and the network itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdw.errors import ConfigError, MissingDependencyError, shown
from gdw.reweight.registry import METHODS

if TYPE_CHECKING:
    from torch import nn

    from gdw.data.source import Source
    from gdw.runs.config import RunConfig
    from gdw.runs.model_config import ModelConfig
    from gdw.runs.prepared_data import PreparedData
    from gdw.train.recommended import Inputs

SMALL = 64
"""Images of up to this many pixels are no photographs: a network from scratch is quick and good on them."""

_OWN_MODEL = re.compile(r"auto|linear|mlp(:.*)?|wrn-?\d+-\d+|(cifar-)?resnet-?\d+")


def require_possible_early(config: RunConfig) -> None:
    """Check what `require_possible` checks as far as it needs no PyTorch, before data are read.

    Where an error could still come after a long time of reading, everything is checked.

    Raises:
        ConfigError, MissingDependencyError: the method, the backbone or the model cannot be used.
    """
    _require_backbone(config)
    _require_weights(config.model)
    if not _is_surely_possible(config):
        require_possible(config)


def _require_backbone(config: RunConfig) -> None:
    if config.model.uses_backbone:
        from gdw.backbones.names import require_available

        require_available(config.model.backbone)
    if config.model.finetune == "lora" and find_spec("peft") is None:
        raise MissingDependencyError(
            "--finetune lora needs peft, which is not installed: pip install 'gdw[text]' (or use head+norm)"
        )


def _require_weights(model: ModelConfig) -> None:
    if model.weights is not None and not Path(model.weights).is_file():
        raise ConfigError(
            f"no weights file at {shown(model.weights)}: expected a .safetensors or PyTorch file"
        )


def _is_surely_possible(config: RunConfig) -> bool:
    """Whether no error of `require_possible` could come after a long time of reading."""
    model = config.model
    own = _OWN_MODEL.fullmatch(model.name) is not None and not model.pretrained
    needs_package = config.training.method == "cleanlab"
    return own and not needs_package and not config.data.add_clean


def require_possible(config: RunConfig) -> None:
    """Check the method, the backbone and the model, which needs PyTorch.

    Raises:
        ConfigError, MissingDependencyError: they cannot be used.
    """
    _require_backbone(config)
    from gdw.models.build import require_buildable

    training = config.training
    method = METHODS[training.method]
    method.check_installed()
    require_buildable(config.model.name, pretrained=config.model.pretrained)
    if method.takes_clean(training.method_options) and config.data.add_clean:
        raise ConfigError(
            f"method {training.method!r} trains on the clean examples already and add_clean would count "
            "them twice: leave add_clean (--add-clean) out"
        )


def with_whole_path(config: RunConfig) -> RunConfig:
    """A backbone in a folder by its whole path, because later commands may start elsewhere."""
    if not config.model.uses_backbone:
        return config
    from gdw.runs.backbone_choice import located

    return config.with_options(model={"backbone": located(config.model.backbone)})


def backbone_for(config: RunConfig, source: Source, *, choose: bool) -> tuple[str, str]:
    """The backbone for the data, or "none", and a note for the user, see `backbone_choice`.

    Args:
        config: of the run.
        source: the training data.
        choose: whether "auto" may take one.

    Raises:
        ConfigError, MissingDependencyError: the data or this machine do not have the backbone.
    """
    if source.kind == "table" and not config.model.needs_backbone:
        return "none", ""
    from gdw.runs.backbone_choice import choose_backbone

    _require_heeded(config, source.kind)
    data, against = config.data, ""
    if config.training.augment != "none" and source.kind == "image":
        against = "--augment changes pixels"
    if "max_words" in data.model_fields_set and source.kind == "text":
        against = "--max-words counts words"
    return choose_backbone(
        config.model, source, choose=choose, against=against, image_size=data.image_size
    )


def _require_heeded(config: RunConfig, kind: str) -> None:
    """Refuse options of data that a backbone would ignore."""
    model, data = config.model, config.data
    counts_words = data.max_words != type(data).model_fields["max_words"].default
    if kind == "text" and model.needs_backbone and counts_words:
        raise ConfigError(
            "--max-words counts words, and a backbone reads texts by tokens of its own: leave it out, "
            "or use --backbone none"
        )
    pixels_change = config.training.augment != "none" and kind == "image"
    if pixels_change and model.needs_backbone and model.finetune == "none":
        raise ConfigError(
            "--augment changes pixels in each epoch, and features are computed once: leave it out, use "
            "--views 4, or train the backbone too (--finetune all)"
        )


def recommended_options(config: RunConfig, prepared: PreparedData) -> dict[str, dict[str, Any]]:
    """What suits the data, for the options that the user did not give: the sections model and training."""
    from gdw.train.recommended import HEAD, chosen_options, recommended

    model, training, shape = config.model, config.training, prepared.encoder.input_shape
    given = {name: getattr(training, name) for name in training.model_fields_set}
    best = recommended(
        _inputs(model, prepared),
        examples=len(prepared.train),
        width=shape[-1],
        finetune=model.finetune,
    )
    sections = {"training": chosen_options(given, best)}
    if model.frozen and model.name == "auto":
        sections["model"] = {"name": HEAD}
    return sections


def _inputs(model: ModelConfig, prepared: PreparedData) -> Inputs:
    """What the network sees."""
    shape = prepared.encoder.input_shape
    if model.frozen:
        return "features"
    if model.uses_backbone or model.pretrained or model.weights is not None:
        return "finetuned"
    if len(shape) == 3:
        return "small images" if min(shape[1:]) <= SMALL else "photographs"
    return "words" if prepared.schema.kind == "text" else "numbers"


def network_name(model: ModelConfig, part: Any) -> str:
    """The full name of the network; "auto" is replaced by the choice for the data.

    Args:
        model: the options of the network.
        part: has the `schema` and the `encoder` of the run.
    """
    if model.uses_backbone and model.finetune != "none":
        return "linear"
    from gdw.models.build import full_name

    return full_name(model.name, part.schema.kind, part.encoder.input_shape)


def build_network(model: ModelConfig, part: Any, *, seed: int, trained: bool = False) -> nn.Module:
    """Build the network for the data, initialised from `seed`.

    Args:
        model: the options of the network.
        part: the prepared data; if `trained`, the run. Both have the `schema` and the `encoder`.
        seed: of the initial parameters.
        trained: whether the weights of a finished run will be loaded, so that no others are.

    Raises:
        ConfigError: the network does not fit the data, or its weights cannot be had.
    """
    classes = len(part.schema.label_names)
    if model.uses_backbone and model.finetune != "none":
        from gdw.models.finetuned import build_finetuned, read_network

        network: nn.Module
        if trained:
            from gdw.runs.run import ENCODER

            network = read_network(part.folder.file(ENCODER), classes)
        else:
            network = build_finetuned(part.backbone, classes, model.finetune, seed=seed)
        return network
    from gdw.models.build import build_model

    return build_model(
        network_name(model, part),
        input_shape=part.encoder.input_shape,
        num_classes=classes,
        mean_std=part.encoder.mean_std,
        pretrained=model.pretrained and not trained,
        weights=None if trained else model.weights,
        seed=seed,
    )


def network_files(model: ModelConfig, prepared: PreparedData) -> dict[str, Callable[[Path], None]]:
    """The files beside the encoder by which the network of a run is built again, each with its writer."""
    backbone, finetune = prepared.backbone, model.finetune
    if backbone is None or finetune == "none":
        return {}
    from gdw.models.finetuned import NETWORK, write_network

    return {NETWORK: lambda folder: write_network(folder, backbone, finetune)}
