"""The last step of every loader: a network that was tried once, with its width and fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gdw.backbones.backbone import Backbone, device_of
from gdw.backbones.fingerprint import fingerprint
from gdw.errors import ConfigError, one_line

if TYPE_CHECKING:
    from gdw.backbones.backbone import BackboneKind, Preprocessing

# What networks raise for inputs that they do not take.
_REFUSALS = (RuntimeError, ValueError, AssertionError, IndexError, TypeError, AttributeError)


def assembled(
    name: str,
    kind: BackboneKind,
    module: nn.Module,
    preprocessing: Preprocessing,
    architecture: Mapping[str, Any],
    *,
    own: bool = False,
) -> Backbone:
    """The backbone, in evaluation mode; its convolutions are in channels-last order.

    Args:
        architecture: what changes the features besides the weights, as JSON can hold it.
        own: the module is one of the user, which cannot be built again from `architecture`.
        name, kind, module, preprocessing: see `Backbone`.

    Raises:
        ConfigError: the network does not take what the preprocessing returns, or returns no features.
    """
    module = module.eval()
    if kind == "image" and not own:
        module = module.to(memory_format=torch.channels_last)
    settings = preprocessing.settings
    width = _width(name, kind, module, settings)
    digest = fingerprint(module, architecture, settings)
    return Backbone(name, kind, module, preprocessing, width, digest, {} if own else architecture)


def _width(name: str, kind: str, module: nn.Module, settings: Mapping[str, Any]) -> int:
    """The number of features that the network returns for two small examples."""
    example = example_input(kind, settings)
    taken = (
        "tokens" if kind == "text" else f"images of {example.shape[2]} x {example.shape[3]} pixels"
    )
    device = device_of(module)
    try:
        with torch.inference_mode():
            features: Any = module(example.to(device))
    except _REFUSALS as error:
        advice = "choose another image_size or backbone" if kind == "image" else "choose another"
        raise ConfigError(
            f"backbone {name!r} does not accept {taken} ({one_line(error)[:200]}): {advice}"
        ) from error
    if not _is_features(features):
        raise ConfigError(
            f"backbone {name!r} has no features: expected a floating-point tensor (2, F) for two examples, "
            f"found {_found(features)}; choose a network for classification"
        )
    return int(features.shape[1])


def example_input(kind: str, settings: Mapping[str, Any]) -> Tensor:
    """Two examples as a preprocessing with these settings gives them."""
    if kind == "text":
        return torch.tensor([[0, 0], [0, -1]])
    size = settings["image_size"]
    return torch.zeros(2, size, size, 3, dtype=torch.uint8).permute(0, 3, 1, 2)


def _is_features(found: Any) -> bool:
    """Whether a network returned features for two examples."""
    return (
        isinstance(found, Tensor)
        and found.shape[:1] == (2,)
        and found.dim() == 2
        and found.shape[1] > 0
        and found.is_floating_point()
    )


def _found(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
