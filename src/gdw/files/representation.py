"""What `repr` says of an object: its class and its attributes, with arrays as types and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import fields, is_dataclass
from functools import singledispatch
from numbers import Real
from typing import Any

from gdw.errors import brief

_MOST_ENTRIES, _MOST_LETTERS = 12, 200


class ShortRepr:
    """A base class whose `repr` is one short line."""

    def _shown(self) -> Mapping[str, Any]:
        """The attributes that are shown: the public ones, those of a dataclass unless `repr=False`."""
        if is_dataclass(self):
            return {f.name: getattr(self, f.name) for f in fields(self) if f.repr}
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __repr__(self) -> str:
        shown = ((name, value) for name, value in self._shown().items() if value is not None)
        return f"{type(self).__name__}({', '.join(f'{k}={summary(v)}' for k, v in shown)})"


@singledispatch
def summary(value: Any) -> str:
    """A value in a few words: `float32 (60, 4)` for an array or tensor, 4 digits of a number.

    >>> import numpy as np
    >>> summary(np.ones((60, 4))), summary(2 / 3), summary({"accuracy": 2 / 3, "recall": [1.0, 2.0]})
    ('float64 (60, 4)', '0.6667', '{accuracy=0.6667}')
    """
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return _of_array(value)
    plain: Any = object.__repr__
    if type(value).__repr__ is plain and isinstance(value, Sized):
        return f"{len(value):,} of {type(value).__name__}"
    return brief(value, _MOST_LETTERS)


@summary.register
def _of_number(value: float) -> str:
    return f"{value:.4g}"


@summary.register
def _of_class(value: type) -> str:
    return value.__name__


@summary.register(Mapping)
def _of_mapping(value: Mapping[Any, Any]) -> str:
    """The entries that are numbers or texts."""
    entries = [f"{k}={summary(v)}" for k, v in value.items() if isinstance(v, (Real, str))]
    return f"{{{', '.join(entries[:_MOST_ENTRIES])}{', ...' * (len(entries) > _MOST_ENTRIES)}}}"


def _of_array(value: Any) -> str:
    if not len(value.shape):
        return f"{float(value):.4g}"
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
