"""What one item of a user's data set holds: inputs, a target, and values that are not used."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from gdw.errors import DataError, counted, listed

# The names of a target in an item that is a mapping, in lower case.
TARGETS = ("label", "labels", "label_id", "label_ids", "target", "targets", "y", "class")
# The names of a whole number that says which example it is.
_POSITIONS = ("i", "id", "idx", "index", "row")

_EXPECTED = "return (inputs, target), or a mapping with 'label' and the inputs"


def split_item(item: Any, rows: tuple[int, ...]) -> tuple[Any, Any, tuple[str, ...]]:
    """The inputs and the target of an item, and what else it has that is not used.

    A pair is `(inputs, target)`. In a mapping, a dataclass or a named tuple the target is what is called
    `label`, `target`, `y` or the like (`TARGETS`). Texts and row numbers are not used. If one value is left
    it is the input; several values are the inputs by their names. Of `(x, y, row number)` the last is not
    used.

    Args:
        item: what the data set returned.
        rows: the numbers that the example may have in the item.

    Raises:
        DataError: the item is neither. The message names neither data set nor row, which the caller knows.
    """
    named = _by_name(item)
    if named is not None:
        return _split_names(named)
    if not isinstance(item, (tuple, list)):
        raise DataError(f"the item is {_kind(item)}: {_EXPECTED}")
    if len(item) == 2:
        return item[0], item[1], ()
    if len(item) == 3 and _is_whole(item[2]) and int(item[2]) in rows:
        return item[0], item[1], ("the third value, its row number",)
    raise DataError(
        f"the item has {counted(len(item), 'value')}: return (inputs, target); "
        "several inputs are a tuple, ((x1, x2), target), and an index is left out"
    )


def target_name(names: Any) -> str:
    """The one of `names` that a target has.

    Raises:
        DataError: there is none, or more than one.
    """
    known = [name for name in names if str(name).lower() in TARGETS]
    if len(known) == 1:
        return str(known[0])
    if known:
        raise DataError(
            f"the item has several targets, {listed(known)}: leave all but one of them out"
        )
    raise DataError(
        f"the item has {listed(names)}, none of which is a target: call it 'label' (Hugging Face: "
        "dataset.rename_column(..., 'label')), or return (inputs, target)"
    )


def _by_name(item: Any) -> dict[Any, Any] | None:
    if isinstance(item, Mapping):
        return dict(item)
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    names = getattr(item, "_fields", None)
    if isinstance(item, tuple) and names and any(name.lower() in TARGETS for name in names):
        return dict(zip(names, item, strict=True))
    return None


def _split_names(named: dict[Any, Any]) -> tuple[Any, Any, tuple[str, ...]]:
    name = target_name(list(named))
    target = named.pop(name)
    if not named:
        raise DataError(f"the item has nothing but {name!r}: {_EXPECTED}")
    if len(named) == 1:
        return next(iter(named.values())), target, ()
    unused = [key for key, value in named.items() if _is_unused(key, value)]
    used = {key: value for key, value in named.items() if key not in unused}
    if not used:
        raise DataError(
            f"the item has no numbers but {name!r}, only {listed(named)}: encode one of them as a tensor"
        )
    inputs = next(iter(used.values())) if len(used) == 1 else used
    return inputs, target, tuple(map(repr, unused))


def _is_unused(name: Any, value: Any) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, (str, bytes)) or (str(name).lower() in _POSITIONS and _is_whole(value))


def _is_whole(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.dim() == 0 and not value.is_floating_point()
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def as_input(value: Any, name: str = "the input") -> Any:
    """`value` so that `default_collate` can stack it: lists of numbers become arrays.

    Raises:
        DataError: it is or contains text, an image that is not a tensor yet, or a missing value.
    """
    if isinstance(value, (Tensor, int, float, np.number, np.bool_)):
        return value
    if isinstance(value, np.ndarray):
        return _native(value, name)
    if isinstance(value, Mapping):
        return {key: as_input(item, f"{name} {key!r}") for key, item in value.items()}
    if isinstance(value, list) and _holds_numbers(value):
        try:
            array = np.asarray(value)
        except ValueError:
            raise DataError(f"{name} is a list of rows of unequal length: pad them") from None
        return _native(array, name)
    if isinstance(value, (tuple, list)):
        return tuple(as_input(item, name) for item in value)
    raise DataError(f"{name} is {_kind(value)}: {_advice(value)}")


def _holds_numbers(values: list[Any]) -> bool:
    first: Any = values
    while isinstance(first, list) and first:
        first = first[0]
    return first is None or isinstance(first, (int, float, np.number, np.bool_))


def _native(array: Any, name: str) -> Any:
    if array.dtype == object and all(isinstance(v, (int, float)) for v in array.ravel().tolist()):
        array = np.array(array.tolist())
    if array.dtype.kind not in "biuf":
        wrong = next((v for v in array.ravel().tolist() if not isinstance(v, (int, float))), array)
        raise DataError(f"{name} holds {_kind(wrong)}: {_advice(wrong)}")
    # PyTorch takes neither foreign byte order nor negative strides, and warns of read-only memory.
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return np.require(native, requirements=["C", "W"])


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return f"text, {value if len(value) < 30 else value[:30] + '...'!r}"
    if value is None:
        return "missing (None)"
    return f"a {type(value).__name__}"


def _advice(value: Any) -> str:
    if isinstance(value, (str, bytes)):
        return "encode it as numbers, such as by a tokenizer, or use gdw train"
    if value is None:
        return "fill it in, or leave the row out"
    if hasattr(value, "getbands"):
        return (
            "make a tensor of it by a transform, such as torchvision.transforms.ToTensor() "
            "(Hugging Face: dataset.with_transform)"
        )
    return "expected a tensor, an array or numbers"


def stacked(values: list[Any], rows: list[int]) -> Any:
    """`default_collate` of what `as_input` returned.

    Raises:
        DataError: two examples have different forms.
    """
    try:
        return default_collate(values)
    except (RuntimeError, TypeError, ValueError, LookupError) as error:
        forms = [_form(value) for value in values]
        other = next((k for k, form in enumerate(forms) if form != forms[0]), None)
        if other is None:
            raise DataError(
                f"the batch of rows {rows[0]} to {rows[-1]}: {str(error).splitlines()[0]}"
            ) from error
        raise DataError(
            f"rows {rows[0]} and {rows[other]} have unlike inputs, {forms[0]} and {forms[other]}: bring all "
            "to one form (pictures: crop or resize; tokens: keep attention_mask, or padding='max_length')"
        ) from error


def _form(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key!r} {_form(item)}" for key, item in value.items())
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_form, value))})"
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"of shape {tuple(shape)}"


def stacked_targets(values: list[Any], rows: list[int]) -> Tensor:
    """Targets `(B,)` or `(B, C)` of the examples `rows`.

    Raises:
        DataError: a target is text, missing or no number.
    """
    for row, value in zip(rows, values, strict=True):
        if isinstance(value, (str, bytes)):
            raise DataError(
                f"the label of row {row} is {_kind(value)}, and the order of classes is yours to choose: "
                "give class numbers 0 to C-1, alike in train, meta and test (Hugging Face: "
                "dataset.class_encode_column); gdw.GDWClassifier takes labels of any type"
            )
        if value is None:
            raise DataError(f"row {row} has no label (None): leave it out")
    targets: Any = stacked([as_input(value, "the target") for value in values], rows)
    if not isinstance(targets, Tensor):
        raise DataError(
            f"the target of row {rows[0]} is a {type(values[0]).__name__}: expected a class number, or the "
            "probabilities of the classes as a tensor"
        )
    return checked_targets(targets, rows)


def checked_targets(targets: Tensor, rows: list[int] | range) -> Tensor:
    """`targets` with `(N, 1)` class numbers as `(N,)`.

    Raises:
        DataError: a target is NaN.
    """
    if not targets.is_floating_point():
        return targets.squeeze(1) if targets.dim() == 2 and targets.shape[1] == 1 else targets
    missing = torch.isnan(targets).nonzero()
    if len(missing):
        row, *column = missing[0].tolist()
        where = f" in column {column[0]}" if column else ""
        raise DataError(
            f"the target of row {rows[row]} is nan{where}: fill it in, or leave the row out"
        )
    return targets
