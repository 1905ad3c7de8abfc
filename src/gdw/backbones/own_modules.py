"""A module of the user as a backbone."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from gdw.backbones.assemble import assembled
from gdw.backbones.backbone import Backbone
from gdw.backbones.hf import USUAL_SIZE, ImageFeatures, image_pooling
from gdw.backbones.image_networks import IMAGENET, normalising
from gdw.backbones.preprocess_images import ImagePreprocessing
from gdw.backbones.preprocess_texts import TextPreprocessing
from gdw.backbones.text_networks import TextNetwork
from gdw.backbones.transformers_models import LONGEST
from gdw.errors import ConfigError

if TYPE_CHECKING:
    from gdw.backbones.backbone import BackboneKind


def of_module(
    module: nn.Module,
    *,
    kind: BackboneKind,
    name: str = "",
    image_size: int | None = None,
    mean_std: tuple[Sequence[float], Sequence[float]] | None = IMAGENET,
    tokenizer: Any = None,
    limit: int | None = None,
) -> Backbone:
    """A module of yours as a backbone. It is not copied, and is put into evaluation mode.

    >>> from torch import nn
    >>> module = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten())
    >>> of_module(module, kind="image", image_size=32).width
    48

    Args:
        module: returns features `(B, F)`. For images it takes floats `(B, 3, S, S)`. For texts it is a model
            of transformers or sentence-transformers, or is called with `input_ids` and `attention_mask`, both
            int64 `(B, L)`. It may return vectors of tokens `(B, L, D)`, also as `last_hidden_state`;
            then their mean over the tokens of a text is taken.
        kind: "image" or "text".
        name: for messages; default: the class of the module.
        image_size: S; default: what the module says, as models of timm and transformers do, or 224.
        mean_std: by which pixels in [0, 1] are normalised for each channel; None: the module takes uint8.
        tokenizer: a fast tokenizer of transformers, or one of the library tokenizers. sentence-transformers
            models have their own.
        limit: the largest number of tokens of a text; default: what the tokenizer says, at most 512.

    Raises:
        ConfigError: `module` is not a module, does not take such inputs, or returns no features; or there is
            no tokenizer for texts.
    """
    if not isinstance(module, nn.Module):
        raise ConfigError(f"expected an nn.Module as backbone, found {type(module).__name__}")
    name = name or type(module).__name__
    identity = {"class": type(module).__qualname__, "text": repr(module), "source": _source(module)}
    if kind == "text":
        return _of_texts(module, name, tokenizer, limit, identity)
    size = image_size or _own_size(module) or USUAL_SIZE
    network = _image_encoder(module, size)
    if mean_std is not None:
        network = normalising(network, *mean_std)
    network = nn.Sequential(_RowsFirst(), network)
    return assembled(name, "image", network, ImagePreprocessing(size), identity, own=True)


def _of_texts(
    module: nn.Module,
    name: str,
    tokenizer: Any,
    limit: int | None,
    identity: Mapping[str, Any],
) -> Backbone:
    tokenizer = tokenizer if tokenizer is not None else getattr(module, "tokenizer", None)
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(backend, "to_str"):
        raise ConfigError(
            f"backbone {name!r} for texts needs a fast tokenizer, found {type(tokenizer).__name__}: "
            "gdw.backbones.of_module(module, kind='text', tokenizer=...)"
        )
    own = getattr(module, "max_seq_length", None) or getattr(tokenizer, "model_max_length", None)
    limit = limit or int(min(LONGEST, own or LONGEST))
    network: nn.Module = TextNetwork(
        _Sentences(module) if hasattr(module, "max_seq_length") else _encoder(module),
        pad=getattr(tokenizer, "pad_token_id", None) or 0,
    )
    return assembled(
        name, "text", network, TextPreprocessing(backend.to_str(), limit), identity, own=True
    )


class _RowsFirst(nn.Module):
    """Brings images into the usual order in memory: many modules call `view`, which needs it."""

    def forward(self, images: Tensor) -> Tensor:
        return images.contiguous()


def _image_encoder(module: Any, size: int) -> nn.Module:
    """A model of transformers with one tensor as its output; other modules as they are."""
    if getattr(module, "main_input_name", None) != "pixel_values":
        return module  # type: ignore[no-any-return]
    base = _encoder(module)
    return ImageFeatures(base, image_pooling(base, size, untrained_pooler=False))


class _Sentences(nn.Module):
    """A `SentenceTransformer`, called as a transformer is."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        found = self.model({"input_ids": input_ids, "attention_mask": attention_mask})
        return found["sentence_embedding"]  # type: ignore[no-any-return]


def _encoder(module: Any) -> nn.Module:
    """A model of transformers without the head for its task; other modules as they are."""
    base = getattr(module, "base_model", None)
    found: nn.Module = base if isinstance(base, nn.Module) else module
    return found


def _own_size(module: Any) -> int | None:
    """The size of images that the module says it was trained with."""
    settings = getattr(module, "pretrained_cfg", None)
    if isinstance(settings, Mapping) and "input_size" in settings:
        return int(settings["input_size"][-1])
    size = getattr(getattr(module, "config", None), "image_size", None)
    return size if isinstance(size, int) else None


def _source(module: nn.Module) -> str:
    """The code of the class: another `forward` gives other features from the same weights."""
    try:
        return inspect.getsource(type(module))
    except (OSError, TypeError):
        return ""
