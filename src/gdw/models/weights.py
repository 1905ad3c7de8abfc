"""Parameters from a file into a model whose head may have other classes."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from gdw.errors import ConfigError

WRAPPERS = ("state_dict", "model", "model_state_dict")


def load_weights(model: nn.Module, path: Path, *, num_classes: int) -> None:
    """Load a state dict, `.safetensors` or saved by `torch.save`, into `model` in place.

    The file may hold the whole model, as `gdw` saves it, or the bare network inside it, as
    torchvision and timm save theirs. A head for another number of classes is left as initialised.
    Nothing in the file is executed. Raises `ConfigError` when it cannot be read or does not fit.
    """
    state = _read(path)
    own = model.state_dict()
    whole = any(name in own for name in state)
    inner = getattr(model, "network", None)
    target = inner if not whole and isinstance(inner, nn.Module) else model
    fit_state(target, state, num_classes=num_classes, origin=str(path))


def fit_state(
    network: nn.Module, state: Mapping[str, Tensor], *, num_classes: int, origin: str
) -> None:
    """Copy `state` into `network`, but for the tensors of a head of another number of classes.

    Every other tensor of the network must be there in its shape, else `ConfigError` names the first
    one.
    """
    own = network.state_dict()
    kept: dict[str, Tensor] = {}
    for name, mine in own.items():
        given = state.get(name)
        if given is None:
            # the one buffer that files of old PyTorch versions lack, and that no prediction depends
            # on
            if name.endswith("num_batches_tracked"):
                continue
            raise ConfigError(
                f"{origin} does not fit the model: no tensor {name!r} in it (it has "
                f"{', '.join(list(state)[:3])}, ...); give the weights of this very architecture"
            )
        if given.shape == mine.shape:
            kept[name] = given
        elif not _is_other_head(given, mine, num_classes):
            raise ConfigError(
                f"{origin} does not fit the model: expected tensor {name!r} of shape "
                f"{tuple(mine.shape)}, found {tuple(given.shape)}; "
                "give the weights of this very architecture"
            )
    network.load_state_dict(kept, strict=False)


def _is_other_head(given: Tensor, mine: Tensor, num_classes: int) -> bool:
    return (
        given.ndim == mine.ndim > 0
        and mine.shape[0] == num_classes
        and given.shape[1:] == mine.shape[1:]
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
    except (OSError, RuntimeError, ValueError, LookupError, EOFError) as error:
        raise _unreadable(path) from error
    except (pickle.UnpicklingError, SafetensorError) as error:
        raise _unreadable(path) from error
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        raise _unreadable(path)
    # `module.` is what DataParallel and DistributedDataParallel put before every name
    state = {
        str(name).removeprefix("module."): tensor
        for name, tensor in content.items()
        if isinstance(tensor, Tensor)
    }
    if not state:
        raise _unreadable(path)
    return state


def _unreadable(path: Path) -> ConfigError:
    return ConfigError(
        f"cannot read weights from {path}: expected a state dict of tensors, as safetensors or by "
        "torch.save(model.state_dict(), path)"
    )
