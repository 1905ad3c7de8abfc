"""Building the network of a backbone again without its weights, as a fine-tuned run needs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from gdw.errors import RunError


def rebuilt(architecture: Mapping[str, Any]) -> nn.Module:
    """A network with random weights, of the same parts as `Backbone.module`.

    Args:
        architecture: `Backbone.architecture`.

    Raises:
        RunError: the architecture is of an unknown kind, or not recorded.
        MissingDependencyError: the library of the network is not installed.
    """
    library = architecture.get("library")
    if library == "package":
        from gdw.backbones.packages import efficientnet_lite0

        return efficientnet_lite0(weights=False)
    if library in ("torchvision", "timm"):
        from gdw.backbones.vision_libraries import rebuilt_vision

        return rebuilt_vision(architecture)
    if library == "sentence-transformers":
        from gdw.backbones.sentences import rebuilt_sentence_transformer

        return rebuilt_sentence_transformer(architecture)
    if library in ("hf-image", "hf-text"):
        from gdw.backbones import hf

        rebuild = hf.rebuilt_image if library == "hf-image" else hf.rebuilt_text
        return rebuild(architecture)
    raise RunError(
        f"the network of this run is of an unknown kind ({library}): upgrade gdw, or train again"
    )
