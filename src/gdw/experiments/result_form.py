"""What the `result.json` of a finished cell must hold, so that the results can show it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

_Figure = Annotated[float, Field(gt=-1e300, lt=1e300)] | None
_Count = Annotated[int, Field(ge=0, lt=10**15)]


class _Machine(BaseModel):
    gdw: str
    torch: str
    python: str
    processor: str
    threads: int


class Result(BaseModel):
    """The figures of a cell; null where a number is not finite or not known."""

    model_config = ConfigDict(strict=True)

    accuracy: _Figure
    balanced_accuracy: _Figure
    nll: _Figure
    ece: _Figure
    detection_auroc: _Figure
    detection_precision: _Figure
    wrong_labels: _Figure
    train_examples: _Count
    clean_examples: _Count
    averaged_epochs: _Count
    seconds: Annotated[float, Field(ge=0, lt=1e12)]
    curve: list[_Figure]
    machine: _Machine


MACHINE = TypeAdapter(_Machine)
"""The part of a sitting that names its machine."""
