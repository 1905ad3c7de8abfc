"""Models of the library transformers: from a local folder, or from their configuration alone."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from gdw.errors import ConfigError, MissingDependencyError, one_line, shown

if TYPE_CHECKING:
    from gdw.backbones.backbone import BackboneKind

# Of models that take longer texts we use as much: the cost grows with the square of the length.
LONGEST = 512
_UNUSED = (
    "architectures",
    "id2label",
    "label2id",
    "problem_type",
    "transformers_version",
    "torch_dtype",
    "dtype",
)


def load_transformer(folder: Path, name: str, kind: BackboneKind) -> tuple[Any, list[str]]:
    """The model in `folder`, in float32, without a head for its former task.

    Args:
        folder: with config.json and safetensors.
        name: of the backbone, for messages.
        kind: which part of a model for images and texts is taken.

    Returns:
        The model, and the names of its tensors that are not in the folder; all of them belong to its pooler.

    Raises:
        ConfigError: the weights do not fit the configuration, or the model needs code of its own.
        MissingDependencyError: transformers is not installed.
    """
    auto = _automatic()
    try:
        with _quiet():
            config = auto.AutoConfig.from_pretrained(folder, local_files_only=True)
            _without_randomness(config)
            model, info = auto.AutoModel.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # `_require_complete` says which
                output_loading_info=True,
            )
    except Exception as error:
        raise ConfigError(
            f"backbone {name!r}: transformers cannot load {shown(folder)} ({one_line(error)[:300]}): "
            "copy the whole model again, or choose another"
        ) from error
    _require_complete(info, folder)
    return _part(model.float(), kind), sorted(map(str, info["missing_keys"]))


def configuration(model: Any) -> dict[str, Any]:
    """What `empty_transformer` builds the same network from, as JSON can hold it.

    Without what does not change features, such as the folder and the names of former classes.
    """
    found: dict[str, Any] = json.loads(json.dumps(model.config.to_diff_dict(), default=str))
    kept = {k: v for k, v in found.items() if k not in _UNUSED and not k.startswith("_")}
    return {"model_type": model.config.model_type, **kept}


def empty_transformer(config: Mapping[str, Any], kind: BackboneKind) -> Any:
    """A model with random weights from its `configuration`."""
    auto = _automatic()
    values = dict(config)
    with _quiet():
        known = auto.AutoConfig.for_model(values.pop("model_type"), **values)
        return _part(auto.AutoModel.from_config(known).float(), kind)


def pad_token(model: Any) -> int:
    """The token by which the model itself fills up texts."""
    pad = getattr(model.config, "pad_token_id", None)
    return pad if isinstance(pad, int) and pad >= 0 else 0


def tokenizer_json(folder: Path, name: str) -> str:
    """The tokenizer of a model, in the JSON form of the library tokenizers.

    Raises:
        ConfigError: there is none, or it has no such form.
    """
    auto = _automatic()
    try:
        with _quiet():
            found = auto.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            # Without files, transformers builds one that knows no word.
            if len(found.get_vocab()) <= len(found.all_special_ids):
                raise ValueError("it knows no word")
        backend: Any = found.backend_tokenizer
    except Exception as error:
        raise ConfigError(
            f"backbone {name!r} has no tokenizer that can be used in {shown(folder)} "
            f"({one_line(error)[:200]}): save one there with AutoTokenizer.save_pretrained"
        ) from error
    text: str = backend.to_str()
    return text


def text_limit(folder: Path, model: Any) -> int:
    """The largest number of tokens of a text: that of the tokenizer and the model, at most 512."""
    from gdw.backbones.folders import read_json

    positions = getattr(model.config, "max_position_embeddings", None)
    if isinstance(positions, int) and _counts_from_padding(model):
        positions -= pad_token(model) + 1
    limits = [
        LONGEST,
        read_json(folder / "tokenizer_config.json").get("model_max_length"),
        positions,
    ]
    return int(min(limit for limit in limits if isinstance(limit, int | float) and limit > 0))


def drop_pooler(model: Any) -> None:
    """Take off a pooler that is not used, so that no parameter is without a gradient."""
    if isinstance(getattr(model, "pooler", None), nn.Module):
        model.pooler = None


def _counts_from_padding(model: Any) -> bool:
    """RoBERTa and its relatives count positions from the padding token on."""
    embeddings = getattr(model, "embeddings", None)
    return getattr(embeddings, "padding_idx", None) is not None


def _automatic() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingDependencyError(
            "this backbone needs transformers, which is not installed: pip install 'gdw[text]'"
        ) from error
    return transformers


def _without_randomness(config: Any) -> None:
    # Masked autoencoders hide three quarters of each image otherwise.
    if hasattr(config, "mask_ratio"):
        config.mask_ratio = 0.0


def _part(model: Any, kind: BackboneKind) -> Any:
    """The encoder of the inputs, of models that have more parts."""
    if getattr(model.config, "is_encoder_decoder", False) and hasattr(model, "get_encoder"):
        return model.get_encoder()
    part = getattr(model, "vision_model" if kind == "image" else "text_model", None)
    return part if isinstance(part, nn.Module) else model


def _require_complete(info: Mapping[str, Any], folder: Path) -> None:
    missing = sorted(name for name in map(str, info["missing_keys"]) if "pooler" not in name)
    other = [str(one[0] if isinstance(one, tuple) else one) for one in info["mismatched_keys"]]
    if missing or other:
        where = (
            f"no tensor {missing[0]!r} in them" if missing else f"{other[0]!r} has another shape"
        )
        raise ConfigError(
            f"the weights in {shown(folder)} do not fit its config.json: {where}; copy the whole model again"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, transformers neither draws progress bars nor logs what it says about weights."""
    from transformers.utils import logging as own

    level, bars = own.get_verbosity(), own.is_progress_bar_enabled()
    own.set_verbosity(logging.CRITICAL)
    own.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        own.set_verbosity(level)
        if bars:
            own.enable_progress_bar()
