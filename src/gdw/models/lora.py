"""LoRA: small trainable additions to the layers of a frozen network, by the library peft."""

from __future__ import annotations

import warnings
from typing import TypeGuard

import torch
from torch import nn

from gdw.errors import ConfigError, MissingDependencyError

RANK = 8
ALPHA = 16


def add_lora(network: nn.Module, name: str) -> None:
    """Freeze `network`, and add trainable matrices to its linear layers and convolutions, in place.

    The layers are those that peft can extend: linear layers, and convolutions that are not grouped. LoRA: Hu
    et al., ICLR 2022. At first the additions are zero, so the outputs do not change.

    Args:
        network: a network without its classifier.
        name: of the backbone, for messages.

    Raises:
        ConfigError: the network has no such layers.
        MissingDependencyError: peft is not installed.
    """
    require_peft()
    _simplify(network)
    layers = [path for path, layer in network.named_modules() if _is_extended(layer)]
    if not layers:
        raise ConfigError(
            f"backbone {name!r} has no linear layers or convolutions for LoRA: use finetune 'all' "
            "(--finetune all)"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=layers)
        inject_adapter_in_model(config, network)
    for path, parameter in network.named_parameters():
        parameter.requires_grad = "lora_" in path


def require_peft() -> None:
    """Raise `MissingDependencyError` unless peft is installed."""
    from importlib.util import find_spec

    if find_spec("peft") is None:
        raise MissingDependencyError(
            "finetune 'lora' needs peft, which is not installed: pip install 'gdw[text]'"
        )


def _is_extended(layer: nn.Module) -> bool:
    # The weights of subclasses of linear layers are often read directly, without a call of the layer.
    # Conv1D is the linear layer of GPT-2 in transformers.
    if type(layer) is nn.Linear or type(layer).__name__ == "Conv1D":
        return True
    # Subclasses may add their own padding, or change the weights, which peft does not know of.
    return type(layer) is nn.Conv2d and layer.groups == 1


def _simplify(network: nn.Module) -> None:
    """Replace subclasses of `nn.Conv2d` by it, in place, where they compute the same and have its parameters.

    peft makes new layers of the class of the old one, whose constructor may differ from that of `nn.Conv2d`.
    """
    for path, layer in list(network.named_modules()):
        if not path or not _is_other_convolution(layer):
            continue
        parent, _, last = path.rpartition(".")
        plain = _as_plain(layer)
        if _equal(plain, layer):
            setattr(network.get_submodule(parent), last, plain)


def _is_other_convolution(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether `layer` is of a subclass of `nn.Conv2d`, and mixes the channels of single pixels."""
    if not isinstance(layer, nn.Conv2d) or type(layer) is nn.Conv2d:
        return False
    return layer.groups == 1 and tuple(layer.kernel_size) == (1, 1)


def _as_plain(layer: nn.Conv2d) -> nn.Conv2d:
    """A convolution of 1 by 1 pixel with the parameters of `layer`."""
    down, right = layer.stride
    with torch.random.fork_rng([]):
        plain = nn.Conv2d(layer.in_channels, layer.out_channels, 1, (down, right), bias=False)
    plain.weight, plain.bias = layer.weight, layer.bias
    return plain.train(layer.training)


def _equal(one: nn.Module, other: nn.Conv2d) -> bool:
    """Whether two convolutions compute the same from one image."""
    image = torch.linspace(-1, 1, 64 * other.in_channels).to(other.weight)
    image = image.view(1, other.in_channels, 8, 8)
    with torch.no_grad():
        return torch.equal(one(image), other(image))
