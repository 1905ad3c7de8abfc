"""Loading of weights from a file into a model whose head may be for other classes."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from gdw.errors import ConfigError
from gdw.hypergradient.own_names import without_wrappers

# The keys under which training programs save the state dict together with other things.
WRAPPERS = ("state_dict", "model", "model_state_dict")

# What `torch.load(weights_only=True)` raises for damaged files.
UNREADABLE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def load_weights(model: nn.Module, path: Path, *, num_classes: int) -> None:
    """Load the weights in a file into `model`, in place.

    The file may hold the whole model, as `gdw` saves it, or only the network without `Normalize`, as
    torchvision and timm save it. A head for another number of classes is not loaded, and keeps its initial
    weights. Nothing in the file is executed.

    Args:
        model: the model.
        path: a `.safetensors` file, or a state dict that `torch.save` wrote.
        num_classes: the number of classes of the model.

    Raises:
        ConfigError: the file cannot be read, or does not fit the model.
    """
    loaded = _read(path)
    names = model.state_dict().keys()
    is_whole_model = any(name in names for name in without_wrappers(loaded, names))
    network = getattr(model, "network", None)
    target = network if not is_whole_model and isinstance(network, nn.Module) else model
    load_matching(
        target,
        without_wrappers(loaded, target.state_dict()),
        num_classes=num_classes,
        origin=str(path),
    )


def load_matching(
    network: nn.Module, loaded: Mapping[str, Tensor], *, num_classes: int, origin: str
) -> None:
    """Copy the tensors of a state dict into `network`, except those of a head for another number of classes.

    Args:
        network: the network.
        loaded: the state dict.
        num_classes: the number of classes of the network.
        origin: where the state dict comes from, for messages.

    Raises:
        ConfigError: a tensor is missing or has another shape. The message names the first one.
    """
    matching: dict[str, Tensor] = {}
    for name, current in network.state_dict().items():
        tensor = loaded.get(name)
        if tensor is None:
            # Files of old PyTorch versions lack this buffer, and no prediction depends on it.
            if name.endswith("num_batches_tracked"):
                continue
            raise ConfigError(
                f"{origin} does not fit the model: no tensor {name!r} in it (it has "
                f"{', '.join(list(loaded)[:3])}, ...); give weights of the same architecture"
            )
        if tensor.shape == current.shape:
            matching[name] = tensor
        elif not _is_other_head(tensor, current, num_classes):
            raise ConfigError(
                f"{origin} does not fit the model: expected tensor {name!r} of shape "
                f"{tuple(current.shape)}, found {tuple(tensor.shape)}; "
                "give weights of the same architecture"
            )
    network.load_state_dict(matching, strict=False)


def _is_other_head(loaded: Tensor, current: Tensor, num_classes: int) -> bool:
    return (
        loaded.ndim == current.ndim > 0
        and current.shape[0] == num_classes
        and loaded.shape[1:] == current.shape[1:]
    )


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ConfigError(f"no weights file at {path}: expected a .safetensors or PyTorch file")
    try:
        if path.suffix == ".safetensors":
            content: object = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (*UNREADABLE, SafetensorError) as error:
        raise _unreadable(path) from error
    return _tensors(content, path)


def _tensors(content: object, path: Path) -> dict[str, Tensor]:
    """The tensors by name in what a file holds, without wrappers."""
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    items = content.items() if isinstance(content, dict) else ()
    state = {str(name): tensor for name, tensor in items if isinstance(tensor, Tensor)}
    if not state:
        raise _unreadable(path)
    return state


def _unreadable(path: Path) -> ConfigError:
    return ConfigError(
        f"cannot read weights from {path}: expected a state dict of tensors, as safetensors or by "
        "torch.save(model.state_dict(), path)"
    )
