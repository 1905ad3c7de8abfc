"""LoRA: small trainable additions to the layers of a frozen network, by the library peft."""

from __future__ import annotations

import warnings

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
    if not isinstance(layer, nn.Conv2d) or layer.groups > 1:
        return False
    # Subclasses may add their own padding, which peft does not know of; these have none.
    return type(layer) is nn.Conv2d or tuple(layer.kernel_size) == (1, 1)
