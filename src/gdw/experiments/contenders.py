"""Contenders of a grid that train no network: the contract, and the table of them.

They classify what the encoder of the data returns, such as features of a frozen network. `gdw train` does not
have them, because a run folder holds a network.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

from gdw.options import Options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Features: TypeAlias = "NDArray[np.float32]"
Labels: TypeAlias = "NDArray[np.int64]"
Probabilities: TypeAlias = "NDArray[np.float64]"


@dataclass(frozen=True)
class Fitted:
    """What a contender has learned from N examples of C classes.

    Attributes:
        predict: from features `(M, F)` to class probabilities `(M, C)`.
        left_out: the class probabilities `(N, C)` of each training example, predicted without its own label.
    """

    predict: Callable[[Features], Probabilities]
    left_out: Probabilities


class Contender(Options, ABC):
    """A classifier of feature vectors; its fields are its options."""

    what: ClassVar[str] = "method "

    @abstractmethod
    def fit(self, X: Features, y: Labels, *, num_classes: int, seed: int) -> Fitted:
        """Learn from the examples.

        Args:
            X: features, float32 `(N, F)`.
            y: given labels, int64 `(N,)`, from 0 to C - 1.
            num_classes: C.
            seed: of random choices.
        """


class _Entry(NamedTuple):
    home: str
    summary: str


CONTENDERS: dict[str, _Entry] = {
    "wann": _Entry(
        "nearest_neighbours:WANN",
        "a vote of nearest neighbours, weighted by the reliability of their labels",
    ),
    "ni_erm": _Entry(
        "noise_ignorant:NIERM",
        "cross-validated logistic regression that treats all labels as right",
    ),
}


def contender_class(name: str) -> type[Contender]:
    """The class of the contender called `name`, a key of `CONTENDERS`."""
    module, _, attribute = CONTENDERS[name].home.partition(":")
    found: type[Contender] = getattr(
        importlib.import_module(f"gdw.experiments.{module}"), attribute
    )
    return found


def parse_contender(name: str, options: Mapping[str, Any]) -> Contender:
    """The contender called `name`; `ConfigError` if an option does not fit."""
    return contender_class(name)(**options)
