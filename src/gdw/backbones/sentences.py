"""Models in the folders of sentence-transformers: a transformer, its pooling, and layers after it.

They are read without that library, whose import takes seconds, so that a fine-tuned run can rebuild the
network from its settings alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gdw.backbones.assemble import assembled
from gdw.backbones.backbone import Backbone
from gdw.backbones.folders import read_json
from gdw.backbones.pooling import Pooling
from gdw.backbones.preprocess_texts import TextPreprocessing
from gdw.backbones.text_networks import Dense, StaticVectors, TextNetwork, UnitLength
from gdw.backbones.transformers_models import (
    LONGEST,
    configuration,
    drop_pooler,
    empty_transformer,
    load_transformer,
    pad_token,
    text_limit,
    tokenizer_json,
)
from gdw.errors import ConfigError, shown

# The poolings by their names in older folders.
_FORMER = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_SETTINGS = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")

Part = tuple[str, Path]


def load_sentence_transformer(folder: Path, name: str) -> Backbone:
    """The model in `folder`, with the pooling and normalisation that it is configured for.

    Raises:
        ConfigError: a module is of a kind that gdw does not know, or the weights do not fit.
    """
    listed = read_json(folder / "modules.json")
    parts = [(str(part["type"]).rpartition(".")[2], folder / part["path"]) for part in listed]
    kinds = [kind for kind, _ in parts if kind != "Dropout"]
    if kinds[:1] == ["StaticEmbedding"] and set(kinds[1:]) <= {"Dense", "Normalize"}:
        return _static(parts, folder, name)
    if kinds[:2] != ["Transformer", "Pooling"] or not set(kinds[2:]) <= {"Dense", "Normalize"}:
        raise ConfigError(
            f"{shown(folder)} has modules that gdw does not know ({', '.join(kinds)}): expected Transformer, "
            "Pooling, Dense and Normalize, or StaticEmbedding; choose another, or use hf:FOLDER"
        )
    where = parts[0][1]
    model, _ = load_transformer(where, name, "text")
    drop_pooler(model)
    architecture = {
        "library": "sentence-transformers",
        "config": configuration(model),
        "pooling": _modes(read_json(parts[1][1] / "config.json")),
        "after": _after(parts),
        "pad": pad_token(model),
    }
    limit = _own_limit(where) or text_limit(where, model)
    return assembled(
        name,
        "text",
        _filled(_network(model, architecture), parts),
        TextPreprocessing(tokenizer_json(where, name), limit, _prefix(folder)),
        architecture,
    )


def rebuilt_sentence_transformer(architecture: Mapping[str, Any]) -> nn.Module:
    """The module of a backbone with random weights, from its `architecture`."""
    if "tokens" in architecture:
        return static_network(architecture)
    model = empty_transformer(architecture["config"], "text")
    drop_pooler(model)
    return _network(model, architecture)


def static_network(architecture: Mapping[str, Any]) -> nn.Sequential:
    """The mean of a vector for each of `tokens` tokens, of length `width`, and the layers `after` it."""
    vectors = StaticVectors(architecture["tokens"], architecture["width"])
    return nn.Sequential(vectors, nn.Sequential(*_layers(architecture["after"])))


def _network(model: nn.Module, architecture: Mapping[str, Any]) -> nn.Module:
    after = _layers(architecture["after"])
    return TextNetwork(model, Pooling(*architecture["pooling"]), after, pad=architecture["pad"])


def _static(parts: list[Part], folder: Path, name: str) -> Backbone:
    where = parts[0][1]
    matrices = [tensor for tensor in _weights(where).values() if tensor.dim() == 2]
    if len(matrices) != 1:
        raise ConfigError(
            f"{shown(where)} holds {len(matrices)} matrices: expected one, of a vector for each token"
        )
    tokens, width = matrices[0].shape
    architecture = {
        "library": "sentence-transformers",
        "tokens": tokens,
        "width": width,
        "after": _after(parts),
    }
    module = _filled(static_network(architecture), parts)
    with torch.no_grad():
        module.get_parameter("0.embedding.weight").copy_(matrices[0])
    tokenizer = (where / "tokenizer.json").read_text(encoding="utf-8")
    preprocessing = TextPreprocessing(tokenizer, LONGEST, _prefix(folder), marks=False)
    return assembled(name, "text", module, preprocessing, architecture)


def _after(parts: Sequence[Part]) -> list[list[Any]]:
    """The layers after the pooling: ["Normalize"], or ["Dense", incoming, width, bias, activation]."""
    found: list[list[Any]] = []
    for kind, where in parts:
        if kind == "Normalize":
            found.append([kind])
        elif kind == "Dense":
            config = read_json(where / "config.json")
            activation = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
            sizes = config["in_features"], config["out_features"]
            found.append([kind, *sizes, bool(config.get("bias", True)), activation])
    return found


def _layers(after: Sequence[Sequence[Any]]) -> list[nn.Module]:
    return [Dense(*options) if options else UnitLength() for _, *options in after]


def _filled(network: nn.Module, parts: Sequence[Part]) -> nn.Module:
    """`network` with the weights of its layers Dense."""
    layers = [layer for layer in network.modules() if isinstance(layer, Dense)]
    folders = [where for kind, where in parts if kind == "Dense"]
    for layer, where in zip(layers, folders, strict=True):
        try:
            layer.load_state_dict(_weights(where))
        except RuntimeError as error:
            raise ConfigError(
                f"the weights in {shown(where)} do not fit its config.json: copy the whole model again"
            ) from error
    return network


def _modes(config: Mapping[str, Any]) -> list[str]:
    mode = config.get("pooling_mode")
    if mode is not None:
        return [mode] if isinstance(mode, str) else list(mode)
    return [mode for key, mode in _FORMER.items() if config.get(key)]


def _own_limit(where: Path) -> int | None:
    for kind in _SETTINGS:
        limit = read_json(where / f"sentence_{kind}_config.json").get("max_seq_length")
        if limit:
            return int(limit)
    return None


def _prefix(folder: Path) -> str:
    """The prompt that the model itself puts before each text."""
    config = read_json(folder / "config_sentence_transformers.json")
    chosen = config.get("default_prompt_name")
    return str(config.get("prompts", {}).get(chosen, "")) if chosen else ""


def _weights(where: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = where / "model.safetensors"
    try:
        state: dict[str, Tensor] = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"cannot read {shown(file)} ({error}): copy the whole model again"
        ) from error
    return state
