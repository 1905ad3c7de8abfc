"""Whether a training can go on from a checkpoint: the file is sound, and belongs to it."""

from __future__ import annotations

import hashlib
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import singledispatch
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gdw._version import __version__
from gdw.data.examples import Examples
from gdw.errors import GDWError, RunError, counted, warn_user
from gdw.files.documents import require_format
from gdw.hypergradient.own_names import OwnNames
from gdw.train.config import TrainConfig
from gdw.train.run_folder import RunFolder

CHECKPOINT_FORMAT = 1

_LARGEST = 1e30

# Of inputs in memory, at most about so many values are compared.
_VALUES_COMPARED = 2**20


class DamagedCheckpointWarning(UserWarning):
    """A checkpoint could not be read, so an older one is used."""


class PreparedAgainWarning(UserWarning):
    """What a stopped preparation had kept belongs to other data, options or another model."""


def checksums(sets: Mapping[str, Any]) -> dict[str, str]:
    """Short texts that belong to the data of a training, by names such as `train labels`.

    All targets count, except those of a data set of the user's own that must be read to know them.
    Of inputs that are tensors in memory, the shape counts, and every k-th row so that about a million values
    are read: 10 ms, whatever the size. Inputs that are decoded on demand are not read.

    Args:
        sets: data sets by name; None for one that is not used.
    """
    found: dict[str, str] = {}
    for name, dataset in sets.items():
        if dataset is not None:
            labels = dataset.targets if isinstance(dataset, Examples) else dataset.known_targets
            inputs = tree_leaves(dataset.inputs) if isinstance(dataset, Examples) else []
            found |= _checksums_of(name, labels, inputs)
    return found


def _checksums_of(name: str, labels: Tensor | None, inputs: Sequence[Any]) -> dict[str, str]:
    """The checksums of one data set: of its labels if they are known, of its inputs if all are tensors."""
    found = {}
    if labels is not None:
        found[f"{name} labels"] = digest(_of_one_type(labels))
    if inputs and all(isinstance(leaf, Tensor) and leaf.dim() for leaf in inputs):
        found[f"{name} inputs"] = digest(*(part for leaf in inputs for part in _sampled(leaf)))
    return found


def _sampled(inputs: Tensor) -> tuple[Any, Tensor]:
    every = max(1, inputs.numel() // _VALUES_COMPARED)
    return tuple(inputs.shape), _of_one_type(inputs[::every])


def _of_one_type(values: Tensor) -> Tensor:
    """Equal numbers of other types train alike."""
    return values.float() if values.is_floating_point() else values.long()


def digest(*values: Any) -> str:
    """A short text that belongs to the content of tensors and plain values."""
    content = hashlib.blake2b(digest_size=10)
    for value in values:
        if isinstance(value, Tensor):
            content.update(repr((value.dtype, value.shape)).encode())
            # A single value may have any stride, which `view` refuses.
            flat = value.detach().cpu().contiguous().as_strided((value.numel(),), (1,))
            content.update(flat.view(torch.uint8).numpy().data)
        else:
            content.update(repr(value).encode())
    return content.hexdigest()


def newest_first(paths: Sequence[Path], folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The checkpoints of `paths` in `folder` that can be read, on the CPU, the newest first.

    A damaged file is skipped with a `DamagedCheckpointWarning`.

    Raises:
        RunError: there are files, but no further one can be read; or a newer version of gdw wrote one.
    """
    for path in reversed(paths):
        try:
            state = read_checkpoint(path)
        except GDWError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of its readers
            warn_of_damage(path, error)
        else:
            yield path, state
    if paths:
        raise RunError(
            f"no checkpoint in {folder} can be read: start the run again in another folder"
        )


def warn_of_damage(path: Path, error: Exception | None) -> None:
    """Warn that the checkpoint `path` cannot be used."""
    reason = "" if error is None else f" ({type(error).__name__})"
    warnings.warn(
        f"the checkpoint {path} is damaged{reason}: going back to the one before",
        DamagedCheckpointWarning,
        stacklevel=3,
    )


def warn_of_other_preparation() -> None:
    """Warn that nothing of what a stopped preparation has kept can be used."""
    text = "data, options or model have changed since: the preparation starts again"
    warn_user(text, PreparedAgainWarning)


class StoppedTrainingWarning(UserWarning):
    """Ctrl-C, SIGTERM or SIGHUP stopped `Trainer.fit` before the last epoch, and it returned."""


def warn_of_stop(done: int, epochs: int, *, resumable: bool) -> None:
    """Warn the caller of `fit` that a signal stopped it, unless it is a part of gdw, which says so itself."""
    if str(sys._getframe(2).f_globals.get("__name__")).partition(".")[0] == "gdw":
        return
    how = (
        "to go on, call fit(..., resume=True) with the same output"
        if resumable
        else "only a training with output= can go on"
    )
    warn_user(
        f"stopped after {done} of {counted(epochs, 'epoch')}: result.interrupted is True; {how}",
        StoppedTrainingWarning,
    )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state that was written to `path`; any exception if the file is damaged."""
    # torch.load does not verify the checksums: training would continue from a tensor with a flipped bit.
    with zipfile.ZipFile(path) as archive:
        altered = archive.testzip()
    if altered is not None:
        raise zipfile.BadZipFile(f"{altered} does not match its checksum")
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise ValueError("expected a dictionary")
    require_format(state["format"], CHECKPOINT_FORMAT, path, version=state.get("gdw_version"))
    return state


def require_same_training(
    folder: RunFolder, state: Mapping[str, Any], config: TrainConfig, known: Mapping[str, Any]
) -> None:
    """Check that options and data are those of the run; `RunError` if not.

    `known` is the `DataSets.state`. Checksums that only it or only `state` has, which may be that of an
    earlier version of gdw, are not compared.
    """
    conflicts = config.conflicts(state["config"])
    conflicts += [
        f"{name} examples (were {state['sizes'][name]}, now {size})"
        for name, size in known["sizes"].items()
        if state["sizes"][name] != size
    ]
    if conflicts:
        raise RunError(
            f"{folder.path} cannot be resumed with other settings: {', '.join(conflicts)}; "
            "use those of the run, or choose another output folder"
        )
    then, now = state.get("checksums", {}), known.get("checksums", {})
    if changed := [name for name in now if then.get(name, now[name]) != now[name]]:
        raise RunError(
            f"{folder.path} cannot be resumed with other data: the {' and the '.join(changed)} are not those "
            "that the run was started with; give those, or choose another output folder"
        )


def require_same_model(folder: RunFolder, state: Mapping[str, Any], model: nn.Module) -> None:
    """Another version may read a column in another way, and a model of one's own may have changed."""
    if (differs := OwnNames(model).first_difference(state["model"])) is not None:
        name, then, now = differs
        raise RunError(
            f"{folder.path} cannot be resumed: {name!r} of the model had the shape {then} and has {now} now. "
            "The model has changed, or another version of gdw read the data in another way (the run is of "
            f"gdw {state.get('gdw_version', '0.1.0')}, this is {__version__}): use that version, or train "
            "again into a new folder"
        )


def require_sound(
    state: Mapping[str, Any], parts: Mapping[str, Any], epochs: int, batches: int
) -> None:
    """Raise an exception if training could not go on from `state`.

    Args:
        state: of a checkpoint.
        parts: those of the training by their names in the state; they have a `state_dict`.
        epochs: of the training.
        batches: of an epoch.
    """
    _require_position(state, {"epoch": epochs, "batch": batches, "step": epochs * batches})
    for name, part in parts.items():
        _require_form(part.state_dict(), state[name])
    parameters = [p for group in parts["optimizer"].param_groups for p in group["params"]]
    for number, values in state["optimizer"]["state"].items():
        for value in values.values():
            if isinstance(value, Tensor) and value.shape not in (parameters[number].shape, ()):
                raise ValueError(f"expected the shape {tuple(parameters[number].shape)}")


def _require_position(state: Mapping[str, Any], limits: Mapping[str, int]) -> None:
    position = state["position"]
    inside = all(type(position[k]) is int and 0 <= position[k] <= limits[k] for k in limits)
    if not inside or state["scheduler"]["last_epoch"] != position["step"]:
        raise ValueError(f"position {position}")


@singledispatch
def _require_form(now: object, then: Any) -> None:
    """Raise an exception unless `then` has the form of `now`. Objects of other types are not checked."""


@_require_form.register
def _require_mapping(now: dict, then: Any) -> None:  # type: ignore[type-arg]
    if "param_groups" in now:
        _require_optimizer(now, then)
    else:
        for name, value in now.items():
            _require_form(value, then[name])


@_require_form.register(list)
@_require_form.register(tuple)
def _require_sequence(now: Sequence[Any], then: Any) -> None:
    for one, other in zip(now, then, strict=True):
        _require_form(one, other)


@_require_form.register
def _require_prepared(now: None, then: Any) -> None:  # noqa: ARG001
    """What the method prepares after the start, or never."""
    for value in then.values() if isinstance(then, dict) else [then]:
        _require_numbers(value, (Tensor, int, float, dict))


@_require_form.register
def _require_tensor(now: Tensor, then: Any) -> None:
    if now.shape != then.shape or now.is_floating_point() != then.is_floating_point():
        raise ValueError(f"expected the shape {tuple(now.shape)}")


@_require_form.register(int)
@_require_form.register(float)
def _require_number(now: float, then: Any) -> None:  # noqa: ARG001
    if not abs(then) < _LARGEST:
        raise ValueError(f"expected a number, found {then}")


@_require_form.register
def _require_text(now: str, then: Any) -> None:  # noqa: ARG001
    if not isinstance(then, str):
        raise TypeError(f"expected a text, found {type(then).__name__}")


def _require_optimizer(now: Mapping[str, Any], then: Mapping[str, Any]) -> None:
    """Its options have their types, and what it keeps for each parameter is of numbers."""
    _require_form(now["param_groups"], then["param_groups"])
    for values in then["state"].values():
        for name, value in values.items():
            if name != "step":
                _require_numbers(value, (Tensor,))


def _require_numbers(value: Any, types: tuple[type, ...]) -> None:
    if not (value is None or isinstance(value, types)):
        raise TypeError(f"expected numbers, found {type(value).__name__}")
